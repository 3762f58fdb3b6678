package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/services"
)

func noEnv(string) string { return "" }

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A byte order mark, which some editors write, is no part of the first setting.
func TestConfigByteOrderMark(t *testing.T) {
	c, err := load(write(t, "\ufeffretain: 48h\r\nconcurrency: 3\r\n"), noEnv, nil)
	if err != nil || c.Retain != 48*time.Hour || c.Concurrency != 3 {
		t.Errorf("got %+v, %v", c, err)
	}
}

// The example says what the defaults are, and names every setting.
func TestExample(t *testing.T) {
	c, err := load("config.example.yaml", noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.sources = nil
	want := defaults()
	want.file = "config.example.yaml"
	want.Callbacks.Allow, want.Hosts, want.TrustedProxies = []string{}, []string{}, []netip.Prefix{}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("config.example.yaml is\n%+v, defaults are\n%+v", c, want)
	}
	b, err := os.ReadFile("config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings {
		if strings.HasPrefix(s.key, "celery.") {
			continue
		}
		name := s.key[strings.LastIndexByte(s.key, '.')+1:]
		if !regexp.MustCompile(`(?m)^[# ]*` + name + `:`).Match(b) {
			t.Errorf("%s is not explained", s.key)
		}
		if s.env != "" && !strings.Contains(string(b), s.env) {
			t.Errorf("%s is not named", s.env)
		}
	}
	// What is commented out is right, too.
	var lines []string
	for line := range strings.Lines(string(b)) {
		if m := regexp.MustCompile(`^# ?([a-z_]+:.*)`).FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil && !strings.Contains(m[1], "…") {
			lines = append(lines, m[1])
		}
	}
	for _, line := range lines {
		if strings.HasPrefix(line, "httpauth") || strings.HasPrefix(line, "api_keys") || strings.HasPrefix(line, "admins") || strings.HasPrefix(line, "allowed_services") || strings.HasPrefix(line, "proxy_url") {
			continue // make sense with others only
		}
		if _, err := load(write(t, line), noEnv, nil); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "addr: 127.0.0.1:1\nconcurrency: 1\nretain: 1h\nlog: {level: warn}\n")
	env := map[string]string{"CONCURRENCY": "2", "ADDR": "127.0.0.1:2", "DATA_DIR": "there"}
	c, err := load(file, func(name string) string { return env[name] }, map[string]string{"addr": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Addr != "127.0.0.1:3" || c.Concurrency != 2 || c.Retain != time.Hour || c.LogLevel != "warn" || c.Data != "there" {
		t.Errorf("%+v", c)
	}
	env = map[string]string{"CONFIG_FILENAME": file}
	if c, err = load("", func(name string) string { return env[name] }, nil); err != nil || c.Concurrency != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}

// The Python skeleton's files are accepted as they are.
func TestSkeletonFiles(t *testing.T) {
	const celery = "---\ncelery:\n  broker_url: redis://localhost:6379\n  result_backend: redis://localhost:6379\n  result_expires: 60\n"
	server := celery + "\nhttpauth:\n  myuser: \"pbkdf2:sha256:260000$wyq8Mr00ETYzCfQn$166386b90bdb3b65856c25ada6787c4dc49e21b28947bdcd96caac986a0a8037\"\n"
	c, err := load(write(t, server), noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.RedisURL != "redis://localhost:6379" || c.Retain != time.Minute || len(c.Users) != 1 || len(c.warnings) != 1 || !strings.Contains(c.warnings[0], "PostgreSQL") {
		t.Errorf("server: %+v", c)
	}
	c, err = load(write(t, celery+"  task_routes: {a: b}\n"), noEnv, nil)
	if err != nil || len(c.warnings) != 2 || !strings.Contains(c.warnings[0], "config.yaml:6: celery.task_routes") {
		t.Errorf("worker: %+v, %v", c, err)
	}
}

func TestMistakes(t *testing.T) {
	for _, test := range []struct {
		name, file string
		env        map[string]string
		flags      map[string]string
		want       []string
	}{
		{
			name: "many at once",
			file: "adr: x\nconcurrency: many\nlog:\n  level: loud\n  colour: true\nretain: 5\nhttpauth: [a]\ndatabase_url: mysql://secret@x\naddr: \"5000\"\n",
			env:  map[string]string{"SHUTDOWN_TIMEOUT": "soon"}, flags: map[string]string{"redis-url": "http://x"},
			want: []string{
				"config.yaml:1: unknown setting adr; did you mean addr?", "config.yaml:2: concurrency: expected a whole number from 1 to 10000",
				"config.yaml:4: log.level: expected debug, info, warn or error", "config.yaml:5: unknown setting log.colour", "config.yaml:6: retain: expected a duration such as",
				"config.yaml:7: httpauth: expected names with hashes", "config.yaml:8: database_url: expected a URL that begins with postgres://", "config.yaml:9: addr: expected an address with a port",
				"SHUTDOWN_TIMEOUT: expected a duration", "--redis-url: expected a URL that begins with redis://",
			},
		},
		{name: "sizes", file: "limits: {max_body: 2GB, max_output: 100TiB}\nfiles: {max_file: 1 KB, max_total: 20GiB}\n", want: []string{
			"config.yaml:1: limits.max_body: expected a size from 1KiB to 64MiB, such as 4MiB", "config.yaml:1: limits.max_output: expected a size from 1KiB to 64MiB", "config.yaml:2: files.max_file: expected a size from 1KiB to 16TiB",
		}},
		{name: "not YAML", file: "a: [\n", want: []string{"config.yaml: line "}},
		{name: "not a mapping", file: "- a\n", want: []string{"config.yaml:1: expected `name: value` lines"}},
		{name: "section that is none", file: "log: debug\n", want: []string{"config.yaml:1: expected `name: value` lines"}},
		{name: "misplaced", file: "level: debug\n", want: []string{"did you mean log.level?"}},
		{name: "twice", file: "addr: 127.0.0.1:1\naddr: 127.0.0.1:2\n", want: []string{"config.yaml:2: addr is set twice"}},
		{name: "plain password", file: "httpauth: {alice: geheim}\n", want: []string{`password of user "alice"`, "coatcheck hash-password"}},
		{name: "services of nobody", file: "allowed_services: {ci: [sleep]}\n", want: []string{`allowed_services of "ci"`}},
		{name: "services that are no list", file: "allowed_services: {ci: sleep}\n", want: []string{"config.yaml:1: allowed_services: expected names with lists of services"}},
		{name: "admin without a name", file: "admins: [alice]\n", want: []string{`admin "alice"`}},
		{name: "allow", file: "callbacks: {allow: [10.0.0.1/8]}\n", want: []string{"callbacks.allow", "10.0.0.1/8"}},
		{name: "schedule", file: "callbacks: {schedule: [5s]}\n", want: []string{"config.yaml:1: callbacks.schedule: expected a list"}},
		{name: "password with a #", file: "database_url: postgres://u:geheim#x@h/db\n", want: []string{"database_url: expected a URL in which special characters of the user name and password are encoded: # as %23"}},
		{name: "password with a /", file: "redis_url: redis://u:1/geheim@h/0\n", want: []string{"redis_url: expected a URL in which special characters"}},
		{name: "password with a %", file: "database_url: postgres://u:geheim%ss@h/db\n", want: []string{"database_url: expected a URL in which special characters"}},
		{name: "password with a ?", file: "database_url: postgres://u:1?geheim@h/db\n", want: []string{"database_url: expected a URL in which special characters"}},
		{name: "public_url with a path", file: "public_url: https://x/y\n", want: []string{"public_url: expected a URL without a path"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load(write(t, test.file), func(name string) string { return test.env[name] }, test.flags)
			if err == nil {
				t.Fatal("no mistake found")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in\n%v", want, err)
				}
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "geheim") {
				t.Errorf("the error tells secrets: %v", err)
			}
		})
	}
	if _, err := load("nowhere.yaml", noEnv, nil); err == nil || !strings.Contains(err.Error(), "nowhere.yaml") {
		t.Errorf("missing file: %v", err)
	}
}

func TestCheckOpen(t *testing.T) {
	for addr, ok := range map[string]bool{
		"127.0.0.1:5000": true, "localhost:5000": true, "[::1]:5000": true, "127.9.9.9:1": true,
		"0.0.0.0:5000": false, ":5000": false, "10.0.0.1:5000": false, "[::]:5000": false, "example.com:5000": false,
	} {
		c := defaults()
		c.Addr = addr
		if err := c.checkOpen(); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
		c.Users = map[string]string{"alice": "x"}
		if err := c.checkOpen(); (err == nil) != ok {
			t.Errorf("%s with users and no name: %v", addr, err)
		}
		c.PublicURL = "https://jobs.example.com"
		if err := c.checkOpen(); err != nil {
			t.Errorf("%s with users and a name: %v", addr, err)
		}
	}
}

// Whatever is in the file, there is a configuration or a mistake with the
// file's name.
func FuzzConfig(f *testing.F) {
	b, err := os.ReadFile("config.example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("a: &a [*a]"))
	f.Add([]byte("log: &l {level: debug}\ncallbacks: *l"))
	f.Add([]byte("httpauth: {? [a] : b}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, err := range defaults().parse("config.yaml", b) {
			if !strings.HasPrefix(err.Error(), "config.yaml:") {
				t.Errorf("%v", err)
			}
		}
	})
}

// Flags, variables and keys are named alike.
func TestSettingNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, s := range settings {
		if seen[s.key] {
			t.Errorf("%s is there twice", s.key)
		}
		seen[s.key] = true
		if s.flag != "" && s.flag != strings.ReplaceAll(s.key, "_", "-") {
			t.Errorf("flag --%s sets %s", s.flag, s.key)
		}
		if s.help == "" && !strings.HasPrefix(s.key, "celery.") {
			t.Errorf("%s has no help", s.key)
		}
	}
}

// A name of a service that there is not is no silent lock-out.
func TestCheckServices(t *testing.T) {
	registry := new(jobs.Registry)
	services.Register(registry)
	c := defaults()
	c.AllowedServices = map[string][]string{"ci": {"sleep", "slep"}}
	if err := c.checkServices(registry); err == nil || !strings.Contains(err.Error(), `allowed_services of "ci": unknown service "slep"; expected one of `) {
		t.Errorf("got %v", err)
	}
	c.AllowedServices["ci"] = []string{"sleep", "maths.add"}
	if err := c.checkServices(registry); err != nil {
		t.Error(err)
	}
}
