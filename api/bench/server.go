package bench

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
	"slices"
	"strings"
	"time"

	"coatcheck/api/client"
	"coatcheck/jobs/store"
)

// A storage is where a server that is measured keeps its jobs: a directory for
// SQLite, or a database of its own on a PostgreSQL server.
type storage struct {
	name string
	dir  string
	env  []string
	drop func(context.Context) error
}

// newSQLiteStore makes a storage in a new directory below dir; "" for the system's.
func newSQLiteStore(dir string) (*storage, error) {
	dir, err := os.MkdirTemp(dir, "coatcheck-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	return &storage{name: "sqlite", dir: dir, drop: func(context.Context) error { return os.RemoveAll(dir) }}, nil
}

// newPostgresStore makes a database on the PostgreSQL server, and a prefix for
// Redis.
func newPostgresStore(ctx context.Context, postgres, redis, dir string) (*storage, error) {
	u, err := url.Parse(postgres)
	if err != nil || u.Host == "" {
		return nil, client.BadArgument(errors.New("--database-url: expected a URL such as postgres://user@host/database"))
	}
	s, err := newSQLiteStore(dir) // for the log
	if err != nil {
		return nil, err
	}
	removeDir := s.drop
	name := "coatcheck_bench_" + strings.ToLower(rand.Text()[:10])
	if err := administer(ctx, postgres, `CREATE DATABASE `+name); err != nil {
		return nil, errors.Join(fmt.Errorf("make a database: %w", err), removeDir(ctx))
	}
	u.Path = "/" + name
	s.name = "postgres"
	s.env = []string{"DATABASE_URL=" + u.String(), "REDIS_URL=" + redis, "REDIS_PREFIX=" + name, "SECRET_KEY=" + rand.Text() + rand.Text()}
	s.drop = func(ctx context.Context) error {
		return errors.Join(administer(ctx, postgres, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`), removeDir(ctx))
	}
	return s, nil
}

// administer runs a statement on a PostgreSQL server.
func administer(ctx context.Context, url, statement string) error {
	db, err := store.OpenPostgres(ctx, url, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Write.ExecContext(ctx, statement)
	return err
}

// A server is a server in a process of its own.
type server struct {
	cmd *exec.Cmd
	url string
}

// startTimeout is how long a server may take to start, or to stop.
const startTimeout = 30 * time.Second

// start starts a server, by default this program, on a store.
func (s *storage) start(ctx context.Context, binary string, variables []string, args ...string) (*server, error) {
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
	cmd.Env = append(without(os.Environ(), variables), s.env...)
	cmd.Dir, cmd.Stderr = s.dir, log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = startTimeout
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	server := &server{cmd: cmd}
	late := time.AfterFunc(startTimeout, func() { _ = cmd.Process.Kill() })
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

// without returns the environment without some variables.
func without(environ, variables []string) (kept []string) {
	for _, v := range environ {
		if name, _, _ := strings.Cut(v, "="); !slices.Contains(variables, name) {
			kept = append(kept, v)
		}
	}
	return kept
}

// lastOfLog returns the last line that the server has logged.
func (s *storage) lastOfLog() string {
	text, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	text = bytes.TrimSpace(text)
	return cmp.Or(string(text[bytes.LastIndexByte(text, '\n')+1:]), "it logs nothing")
}

// stop stops the server and waits for its end.
func (s *server) stop() error {
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		_ = s.cmd.Process.Kill() // Windows knows no signals
	}
	late := time.AfterFunc(startTimeout, func() { _ = s.cmd.Process.Kill() })
	defer late.Stop()
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}
