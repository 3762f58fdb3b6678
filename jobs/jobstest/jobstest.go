// Package jobstest provides real databases for tests: SQLite always, PostgreSQL and Redis if they
// are reachable.
package jobstest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/migrations"
)

// EachDatabase runs the test or benchmark on SQLite and on PostgreSQL, each time with a new
// migrated database. Tests run in parallel. Without PostgreSQL that half is skipped, or fails if
// REQUIRE_SERVICES=1.
func EachDatabase[T interface {
	testing.TB
	Run(name string, test func(T)) bool
}](t T, test func(t T, db *store.DB),
) {
	t.Helper()
	parallel := func(t T) {
		if t, ok := any(t).(*testing.T); ok {
			t.Parallel()
		}
	}
	parallel(t)
	t.Run("sqlite", func(t T) {
		parallel(t)
		test(t, SQLite(t))
	})
	t.Run("postgres", func(t T) {
		parallel(t)
		test(t, Open(t, PostgresURL(t)))
	})
}

// SQLite returns a new migrated SQLite database.
func SQLite(t testing.TB) *store.DB {
	t.Helper()
	empty, err := emptySQLite()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, store.DatabaseFile), empty, 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, db)
	return db
}

// emptySQLite returns the file of a migrated database. Each test gets a copy, because migrating
// takes longer than most tests.
var emptySQLite = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "coatcheck-empty-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	db, err := store.OpenSQLite(ctx, dir)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(migrate(ctx, db), db.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, store.DatabaseFile)) //nolint:gosec // created above
})

// Open returns the PostgreSQL database at url, migrated. A test may open it several times to
// simulate several processes.
func Open(t testing.TB, url string) *store.DB {
	t.Helper()
	db, err := store.OpenPostgres(t.Context(), url, 12)
	if err != nil {
		t.Fatal(err)
	}
	closed(t, db)
	if err := migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// Keys returns the signing keys in the database, encrypted with a secret that all tests share.
func Keys(t testing.TB, db *store.DB) *keys.Keyring {
	t.Helper()
	keys, err := keys.Open(t.Context(), db, []byte("the secret of all tests"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// closed closes the database at the end of the test. If the server has cut its connections, TLS
// cannot send close_notify; that error is ignored.
func closed(t testing.TB, db *store.DB) {
	t.Helper()
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !strings.Contains(err.Error(), "closeNotify") {
			t.Error(err)
		}
	})
}

func migrate(ctx context.Context, db *store.DB) error {
	m, err := migrations.New(db.Write, db.Postgres())
	if err != nil {
		return err
	}
	return m.Up(ctx)
}

// PostgresURL returns the URL of a new empty database on the server of DATABASE_URL, default the
// standard local port. It skips the test if there is no server.
func PostgresURL(t testing.TB) string {
	t.Helper()
	server := os.Getenv("DATABASE_URL")
	if server == "" {
		server = "postgres://postgres@127.0.0.1:5432/postgres"
		needLocal(t, "PostgreSQL", "127.0.0.1:5432")
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal("DATABASE_URL is not a URL")
	}
	admin, err := sql.Open("pgx", server)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { admin.Close() })
	name := "coatcheck_test_" + strings.ToLower(rand.Text()[:12])
	if _, err := admin.ExecContext(t.Context(), `CREATE DATABASE `+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.ExecContext(context.Background(),
			`DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
			t.Error(err)
		}
	})
	u.Path = "/" + name
	return u.String()
}

// RedisURL returns the URL of Redis: REDIS_URL, default the standard local port. It skips the test
// if there is no server. Tests share the server and must use different key prefixes.
func RedisURL(t testing.TB) string {
	t.Helper()
	if u := os.Getenv("REDIS_URL"); u != "" {
		return u
	}
	needLocal(t, "Redis", "127.0.0.1:6379")
	return "redis://127.0.0.1:6379"
}

// needLocal skips the test when nothing listens on addr.
func needLocal(t testing.TB, what, addr string) {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", addr)
	if err == nil {
		conn.Close()
		return
	}
	if os.Getenv("REQUIRE_SERVICES") == "1" {
		t.Fatalf("REQUIRE_SERVICES=1 and no %s on %s", what, addr)
	}
	t.Skipf("no %s on %s: this half of the test is not run", what, addr)
}

// Until waits until happened returns true. The test fails after 30 seconds.
func Until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !happened(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}
