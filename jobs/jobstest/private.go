//go:build unix

package jobstest

import (
	"context"
	"database/sql"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// PrivatePostgres starts a private PostgreSQL. It skips the test if there are no binaries.
func PrivatePostgres(t testing.TB) *Server {
	t.Helper()
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, err := exec.LookPath("initdb"); err == nil && len(found) == 0 {
		found = append(found, path)
	}
	if len(found) == 0 {
		missing(t, "no initdb: this test starts a PostgreSQL of its own")
	}
	bin := filepath.Dir(found[len(found)-1])
	dir, attributes := unprivileged(t)
	run := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), filepath.Join(bin, name), args...) //nolint:gosec // the names are constants below
		cmd.Dir, cmd.SysProcAttr = dir, attributes
		return cmd
	}
	data := filepath.Join(dir, "data")
	if out, err := run("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	s := &Server{Addr: FreeAddr(t), t: t}
	_, port, _ := net.SplitHostPort(s.Addr)
	s.command = func() *exec.Cmd {
		os.Remove(filepath.Join(data, "postmaster.pid")) // left by a killed server
		return run("postgres", "-D", data, "-p", port, "-h", "127.0.0.1", "-k", dir, "-c", "max_connections=300", "-c",
			"fsync=off")
	}
	s.ready = func(ctx context.Context) error {
		db, err := sql.Open("pgx", "postgres://postgres@"+s.Addr+"/postgres?connect_timeout=2")
		if err != nil {
			return err
		}
		defer db.Close()
		return db.PingContext(ctx)
	}
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// unprivileged returns a directory and process attributes for a program that refuses to run as
// root.
func unprivileged(t testing.TB) (dir string, attributes *syscall.SysProcAttr) {
	t.Helper()
	dir, err := os.MkdirTemp("", "coatcheck-private-") //nolint:usetesting // only root could access t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	attributes = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return dir, attributes
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		missing(t, "no user postgres: PostgreSQL refuses to run as root")
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	attributes.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return dir, attributes
}

// PrivateRedis starts a private Redis with optional arguments. It skips the test if there is no
// binary.
func PrivateRedis(t testing.TB, args ...string) *Server {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		missing(t, "no redis-server: this test starts a Redis of its own")
	}
	if len(args) == 0 {
		args = []string{"--save", ""}
	}
	s := &Server{Addr: FreeAddr(t), t: t}
	_, port, _ := net.SplitHostPort(s.Addr)
	dir := t.TempDir()
	s.command = func() *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), path, append(args, "--port", port, "--bind", "127.0.0.1", "--dir", dir)...) //nolint:gosec // the path comes from LookPath
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		return cmd
	}
	s.ready = s.accepts
	s.Start()
	t.Cleanup(s.Kill)
	return s
}

// missing skips the test, or fails it if REQUIRE_SERVICES=1.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("REQUIRE_SERVICES") == "1" {
		t.Fatal("REQUIRE_SERVICES=1 and " + why)
	}
	t.Skip(why)
}
