//go:build unix

package jobstest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// PgBouncer starts PgBouncer in front of the PostgreSQL at an address and returns its address. It
// skips the test if PgBouncer is not installed.
func PgBouncer(t testing.TB, postgres, mode string) (addr string) {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		t.Skip("no pgbouncer: this test starts one")
	}
	host, port, err := net.SplitHostPort(postgres)
	if err != nil {
		t.Fatal(err)
	}
	dir, attributes := unprivileged(t)
	s := &Server{Addr: FreeAddr(t), t: t}
	_, own, _ := net.SplitHostPort(s.Addr)
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "config")
	for file, text := range map[string]string{
		users: "\"postgres\" \"\"\n",
		config: fmt.Sprintf("[databases]\n* = host=%s port=%s\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=%s\nauth_type=trust\nauth_file=%s\npool_mode=%s\nmax_client_conn=200\ndefault_pool_size=60\nunix_socket_dir=\n",
			host, port, own, users, mode),
	} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // another user reads it
			t.Fatal(err)
		}
	}
	s.command = func() *exec.Cmd {
		cmd := exec.CommandContext(context.Background(), path, config) //nolint:gosec // the path comes from LookPath
		cmd.SysProcAttr = attributes
		return cmd
	}
	s.ready = s.accepts
	s.Start()
	t.Cleanup(s.Kill)
	return s.Addr
}
