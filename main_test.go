package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"coatcheck/jobs/jobstest"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"coatcheck": main, "torture": torture})
}

// TestScript runs what a user sees as a user would: the real program, over
// the network.
func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, newScripts("testdata/script", nil))
}

// TestScriptScaledOut runs the scripts that need PostgreSQL and Redis, each
// with a database of its own: a worker would run the jobs of another script.
func TestScriptScaledOut(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/scaled/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			database := jobstest.PostgresURL(t)
			p := newScripts("", map[string]string{
				"DATABASE_URL": database, "REDIS_URL": jobstest.RedisURL(t), "REDIS_PREFIX": filepath.Base(database), "SECRET_KEY": rand.Text(),
			})
			p.Files = []string{file}
			testscript.Run(t, p)
		})
	}
}

// TestScriptS3 runs the scripts whose servers store files in an S3-compatible store.
func TestScriptS3(t *testing.T) {
	t.Parallel()
	store := jobstest.NewS3(t).Config
	testscript.Run(t, newScripts("testdata/script/s3", map[string]string{
		"FILES_S3_ENDPOINT": store.Endpoint, "AWS_ACCESS_KEY_ID": store.AccessKey, "AWS_SECRET_ACCESS_KEY": store.SecretKey,
	}))
}

// patience is how long a script waits for something to happen.
const patience = 30 * time.Second

// scripts has the commands of testdata/script beside those of testscript.
type scripts struct {
	mu        sync.Mutex
	callbacks map[*testscript.TestScript]*callbacks
}

func newScripts(dir string, env map[string]string) testscript.Params {
	s := &scripts{callbacks: make(map[*testscript.TestScript]*callbacks)}
	return testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ADDR", "127.0.0.1:0") // any free port
			for name, value := range env {
				e.Setenv(name, value)
			}
			e.Defer(func() { noSecrets(e) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"started": started, "request": request, "until": until, "extract": extract,
			"receiver": s.receiver, "received": s.received, "appears": appears, "address": address,
		},
	}
}

// noSecrets fails the script for each secret in the logs of its servers.
func noSecrets(e *testscript.Env) {
	logs, err := filepath.Glob(filepath.Join(e.WorkDir, "log*"))
	if err != nil {
		e.T().Fatal(err)
	}
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			e.T().Fatal(err)
		}
		if found := jobstest.Secrets(string(text)); found != nil {
			e.T().Fatal(log, found)
		}
	}
}

var urlPattern = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

// started FILE [VAR] waits until the server that writes to FILE says its URL,
// and sets VAR, by default URL, to it.
func started(ts *testscript.TestScript, _ bool, args []string) {
	wait(ts, "a URL in "+args[0], func() bool {
		b, _ := os.ReadFile(ts.MkAbs(args[0]))
		url := urlPattern.Find(b)
		if url == nil {
			return false
		}
		name := "URL"
		if len(args) > 1 {
			name = args[1]
		}
		ts.Setenv(name, string(url))
		return true
	})
}

// appears FILE REGEXP waits until a file has what matches.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[1])
	wait(ts, args[1]+" in "+args[0], func() bool {
		b, _ := os.ReadFile(ts.MkAbs(args[0]))
		return want.Match(b)
	})
}

// address VAR sets VAR to an address that a server can be started at again.
func address(ts *testscript.TestScript, _ bool, args []string) {
	addr, err := jobstest.FindAddr()
	ts.Check(err)
	ts.Setenv(args[0], addr)
}

// wait tries until something happens, or fails the script.
func wait(ts *testscript.TestScript, what string, happened func() bool) {
	for deadline := time.Now().Add(patience); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("no %s after %v", what, patience)
		}
	}
}

// request [-u USER:PASSWORD] [-H HEADER]… METHOD URL [BODY] prints status,
// headers and body of the answer. With ! it wants a status from 400 up.
func request(ts *testscript.TestScript, neg bool, args []string) {
	answer, status, err := do(args)
	ts.Check(err)
	fmt.Fprintln(ts.Stdout(), answer)
	if neg != (status >= 400) {
		ts.Fatalf("%s", answer)
	}
}

// until REGEXP METHOD URL repeats a request until the answer matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile(args[0])
	var answer string
	defer func() { fmt.Fprintln(ts.Stdout(), answer) }()
	wait(ts, "answer that matches "+args[0], func() bool {
		var err error
		answer, _, err = do(args[1:])
		return err == nil && want.MatchString(answer)
	})
}

func do(args []string) (answer string, status int, err error) {
	header := make(http.Header)
	var user, password string
	for len(args) > 2 && strings.HasPrefix(args[0], "-") {
		if args[0] == "-u" {
			user, password, _ = strings.Cut(args[1], ":")
		} else {
			name, value, _ := strings.Cut(args[1], ": ")
			header.Set(name, value)
		}
		args = args[2:]
	}
	req, err := http.NewRequest(args[0], args[1], strings.NewReader(strings.Join(args[2:], " ")))
	if err != nil {
		return "", 0, err
	}
	if len(args) > 2 {
		req.Header.Set("Content-Type", "application/json")
	}
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	if user != "" {
		req.SetBasicAuth(user, password)
	}
	client := http.Client{Timeout: patience}
	resp, err := client.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	var head bytes.Buffer
	resp.Header.Write(&head)
	return fmt.Sprintf("%s\n%s\n%s", resp.Status, strings.ReplaceAll(head.String(), "\r", ""), body), resp.StatusCode, err
}

// extract VAR FILE REGEXP sets VAR to what the first group of REGEXP matches
// in FILE, which may be stdout.
func extract(ts *testscript.TestScript, _ bool, args []string) {
	m := regexp.MustCompile(args[2]).FindStringSubmatch(ts.ReadFile(args[1]))
	if m == nil {
		ts.Fatalf("%s does not match %s", args[1], args[2])
	}
	ts.Setenv(args[0], m[1])
}

// callbacks are what a receiver got.
type callbacks struct {
	mu  sync.Mutex
	got []string
}

// receiver [STATUS]… starts a receiver of callbacks and sets RECEIVER to its
// URL. It answers the given statuses in turn, then 204.
func (s *scripts) receiver(ts *testscript.TestScript, _ bool, args []string) {
	c := new(callbacks)
	s.mu.Lock()
	s.callbacks[ts] = c
	s.mu.Unlock()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		c.mu.Lock()
		defer c.mu.Unlock()
		status := http.StatusNoContent
		if n := len(c.got); n < len(args) {
			fmt.Sscan(args[n], &status)
		}
		c.got = append(c.got, fmt.Sprintf("%s %s\n%v\n%s", r.Method, r.URL.Path, r.Header, body))
		w.WriteHeader(status)
	}))
	ts.Defer(server.Close)
	ts.Setenv("RECEIVER", server.URL)
}

// received N REGEXP waits for the Nth callback and checks it.
func (s *scripts) received(ts *testscript.TestScript, neg bool, args []string) {
	s.mu.Lock()
	c := s.callbacks[ts]
	s.mu.Unlock()
	var n int
	fmt.Sscan(args[0], &n)
	var got string
	wait(ts, "callback number "+args[0], func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.got) < n {
			return false
		}
		got = c.got[n-1]
		return true
	})
	if regexp.MustCompile(args[1]).MatchString(got) == neg {
		ts.Fatalf("callback %d is %s", n, got)
	}
}
