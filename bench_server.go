package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"coatcheck/jobs"
)

// A benchStore is where a server that is measured keeps its jobs: a directory for
// SQLite, or a database of its own on a PostgreSQL server.
type benchStore struct {
	name string
	dir  string
	env  []string
	drop func(context.Context) error
}

// newSQLiteStore makes a store in a new directory below dir; "" for the system's.
func newSQLiteStore(dir string) (*benchStore, error) {
	dir, err := os.MkdirTemp(dir, "coatcheck-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	return &benchStore{name: "sqlite", dir: dir, drop: func(context.Context) error { return os.RemoveAll(dir) }}, nil
}

// newPostgresStore makes a database on the server that the configuration names,
// and a prefix for Redis.
func newPostgresStore(ctx context.Context, c *config, dir string) (*benchStore, error) {
	u, err := url.Parse(c.DatabaseURL)
	if err != nil || u.Host == "" {
		return nil, &usageError{errors.New("--database-url: expected a URL such as postgres://user@host/database")}
	}
	s, err := newSQLiteStore(dir) // for the log
	if err != nil {
		return nil, err
	}
	removeDir := s.drop
	name := "coatcheck_bench_" + strings.ToLower(rand.Text()[:10])
	if err := administer(ctx, c.DatabaseURL, `CREATE DATABASE `+name); err != nil {
		return nil, errors.Join(fmt.Errorf("make a database: %w", err), removeDir(ctx))
	}
	u.Path = "/" + name
	s.name = "postgres"
	s.env = []string{"DATABASE_URL=" + u.String(), "REDIS_URL=" + c.RedisURL, "REDIS_PREFIX=" + name, "SECRET_KEY=" + rand.Text() + rand.Text()}
	s.drop = func(ctx context.Context) error {
		return errors.Join(administer(ctx, c.DatabaseURL, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`), removeDir(ctx))
	}
	return s, nil
}

// administer runs a statement on a PostgreSQL server.
func administer(ctx context.Context, url, statement string) error {
	db, err := jobs.OpenPostgres(ctx, url, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.SQL().ExecContext(ctx, statement)
	return err
}

// A benchServer is a server in a process of its own.
type benchServer struct {
	cmd *exec.Cmd
	url string
}

// benchStart is how long a server may take to start, or to stop.
const benchStart = 30 * time.Second

// start starts a server, by default this program, on a store.
func (s *benchStore) start(ctx context.Context, binary string, args ...string) (*benchServer, error) {
	if binary == "" {
		var err error
		if binary, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, binary, append([]string{"serve", "--bench", "--addr", "127.0.0.1:0", "--data", s.dir}, args...)...) //nolint:gosec // the user's choice
	cmd.Env = append(withoutSettings(os.Environ()), s.env...)
	cmd.Dir, cmd.Stderr = s.dir, log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = benchStart
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	server := &benchServer{cmd: cmd}
	late := time.AfterFunc(benchStart, func() { _ = cmd.Process.Kill() })
	lines := bufio.NewScanner(out)
	for server.url == "" && lines.Scan() {
		if _, at, ok := strings.Cut(lines.Text(), " is at "); ok {
			server.url = at
		}
	}
	late.Stop()
	if server.url == "" {
		_ = cmd.Process.Kill()
		return nil, errors.Join(fmt.Errorf("the server does not start: %s", s.lastOfLog()), cmd.Wait())
	}
	go func() { _, _ = io.Copy(io.Discard, out) }() // ends with the process
	return server, nil
}

// withoutSettings returns the environment without what would configure a server.
func withoutSettings(environ []string) (kept []string) {
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		known := false
		for _, s := range settings {
			known = known || s.env == name
		}
		if !known {
			kept = append(kept, v)
		}
	}
	return kept
}

// lastOfLog returns the last line that the server has logged.
func (s *benchStore) lastOfLog() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	return cmp.Or(string(text[bytes.LastIndexByte(text, '\n')+1:]), "it logs nothing")
}

// stop stops the server and waits for its end.
func (s *benchServer) stop() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		_ = s.cmd.Process.Kill() // Windows knows no signals
	}
	late := time.AfterFunc(benchStart, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}
