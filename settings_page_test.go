package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"coatcheck/api"
	"coatcheck/api/auth"
)

// hiddenText is in all secrets of fullConfig.
const hiddenText = "hunter2"

// fullConfig sets everything that may be or contain a secret.
const fullConfig = `
secret_key: hunter2-0123456789abcdef0123456789abcdef
database_url: postgres://hunter2user:hunter2@db.example:5432/coatcheck?password=hunter2
redis_url: redis://:hunter2@redis.example:6379/3?password=hunter2
files:
  s3: {endpoint: "https://minio.example", bucket: my-files, access_key: hunter2, secret_key: hunter2, session_token: hunter2}
callbacks: {proxy_url: "http://hunter2:hunter2@proxy.example:3128", schedule: [0s, 5s, 1h]}
admins: [alice]
allowed_services: {ci: [up, greet]}
retain: 48h
commands:
  greet: {run: [echo, hunter2], output: text, env: {set: {TOKEN: hunter2}}}
upstreams:
  up: {request: {url: "http://127.0.0.1:9000/asr?key=hunter2", headers: {Authorization: "Bearer hunter2"}}}
`

func row(t *testing.T, rows []api.Setting, name string) api.Setting {
	t.Helper()
	i := slices.IndexFunc(rows, func(s api.Setting) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("%s is not shown", name)
	}
	return rows[i]
}

// The rows of a server that has every secret have none of them, and say where each value comes from.
func TestSettingRows(t *testing.T) {
	hash, err := auth.HashPassword("hunter2 hunter2 hunter2")
	if err != nil {
		t.Fatal(err)
	}
	key, keyHash, err := auth.NewAPIKey()
	if err != nil {
		t.Fatal(err)
	}
	file := write(t, fullConfig+"httpauth: {alice: \""+hash+"\"}\napi_keys: {ci: [\""+keyHash+"\"]}\n")
	env := func(name string) string {
		return map[string]string{"LOG_LEVEL": "warn", "AWS_SECRET_ACCESS_KEY": "hunter2-env"}[name]
	}
	c, err := load(file, env, map[string]string{"concurrency": "7"})
	if err != nil {
		t.Fatal(err)
	}
	rows := c.rows()
	for _, s := range rows {
		for _, secret := range []string{hiddenText, hash, key, keyHash, strings.TrimPrefix(keyHash, "sha256:"), "Bearer"} {
			if strings.Contains(s.Value+s.Source+s.Help, secret) {
				t.Errorf("%s shows %q in %+v", s.Name, secret, s)
			}
		}
	}
	for name, want := range map[string][2]string{
		"database_url": {"postgres://db.example:5432/coatcheck", file}, "redis_url": {"redis://redis.example:6379/3", file},
		"callbacks.proxy_url": {"http://proxy.example:3128", file}, "secret_key": {"set (hidden)", file},
		"files.s3.secret_key": {"set (hidden)", "AWS_SECRET_ACCESS_KEY"}, "files.s3.bucket": {"my-files", file},
		"httpauth": {"alice", file}, "api_keys": {"ci", file}, "commands": {"1 defined", file}, "upstreams": {"1 defined", file},
		"retain": {"48h", file}, "callbacks.schedule": {"0s, 5s, 1h", file}, "log.level": {"warn", "LOG_LEVEL"},
		"concurrency": {"7", "--concurrency"}, "addr": {"127.0.0.1:5000", ""}, "public_url": {"", ""}, "worker": {"true", ""},
		"limits.stream_age": {"30m", ""}, "limits.submit_rate": {"0", ""}, "cancel_grace": {"10s", ""},
	} {
		if got := row(t, rows, name); got.Value != want[0] || got.Source != want[1] {
			t.Errorf("%s is %q from %q, want %q from %q", name, got.Value, got.Source, want[0], want[1])
		}
	}
	if len(rows) != len(settings)-3 { // names of the Python skeleton are shown by their new ones
		t.Errorf("%d rows of %d settings", len(rows), len(settings))
	}
	skeleton, err := load(write(t, "celery: {result_expires: 3600}"), noEnv, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := row(t, skeleton.rows(), "retain"); got.Value != "1h" || got.Source == "" {
		t.Errorf("retain is %+v", got)
	}
}

// A reload changes what is shown of the users, and nothing else.
func TestSettingRowsReloaded(t *testing.T) {
	old, changed := defaults(), defaults()
	old.Admins, changed.Admins, changed.Retain = []string{"alice"}, []string{"bob"}, 1
	old.setSource("admins", "old.yaml")
	old.setSource("api_keys", "old.yaml")
	changed.setSource("admins", "new.yaml")
	changed.setSource("retain", "new.yaml")
	rows := old.withUsers(changed).rows()
	for name, want := range map[string][2]string{"admins": {"bob", "new.yaml"}, "api_keys": {"", ""}, "retain": {"24h", ""}} {
		if got := row(t, rows, name); got.Value != want[0] || got.Source != want[1] {
			t.Errorf("%s is %+v", name, got)
		}
	}
	if got := row(t, old.rows(), "api_keys"); got.Source != "old.yaml" {
		t.Errorf("the old configuration changed: %+v", got)
	}
}

// The page of a running server shows its configuration to admins only, and its secrets to nobody.
func TestPageSettings(t *testing.T) {
	s := newShell(t)
	hash := strings.TrimSpace(s.run(`echo 'correct horse battery staple' | coatcheck hash-password`))
	lines := strings.Split(fullConfig, "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { // what must be there to start
		return strings.HasPrefix(line, "database_url") || strings.HasPrefix(line, "redis_url") || strings.HasPrefix(line, "files") || strings.Contains(line, "s3:")
	})
	text := strings.Join(lines, "\n") + "httpauth:\n  alice: \"" + hash + "\"\n  ci: \"" + hash + "\"\n"
	if err := os.WriteFile(filepath.Join(s.dir, "config.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("coatcheck --config config.yaml")
	s.ready()
	for name, admin := range map[string]bool{"alice": true, "ci": false} {
		page := s.run(`curl -s -u '` + name + `:correct horse battery staple' http://127.0.0.1:5000/settings`)
		if strings.Contains(page, hiddenText) || strings.Contains(page, "$argon2id$") || strings.Contains(page, "Bearer") {
			t.Errorf("%s sees a secret in %s", name, page)
		}
		for want, expected := range map[string]bool{
			"callbacks.proxy_url": admin, "proxy.example": admin, "config.yaml": admin, "linux/": admin, "Version": true,
			"admin: sees the jobs of all users": admin, "greet": !admin, "<dd>set</dd>": true,
		} {
			if strings.Contains(page, want) != expected {
				t.Errorf("%s: %q on the page: %t", name, want, !expected)
			}
		}
	}
}
