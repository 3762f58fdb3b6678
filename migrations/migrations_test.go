package migrations_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"coatcheck/jobs/jobstest"
	"coatcheck/migrations"
)

// eachDatabase runs the test on an empty database of each kind. open opens
// the same one again, as another process would.
func eachDatabase(t *testing.T, test func(t *testing.T, postgres bool, open func() *sql.DB)) {
	for name, driver := range map[string]string{"sqlite": "sqlite", "postgres": "pgx"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn := "file:" + filepath.Join(t.TempDir(), "test.db") + "?_pragma=busy_timeout(5000)"
			if name == "postgres" {
				dsn = jobstest.PostgresURL(t)
			}
			test(t, name == "postgres", func() *sql.DB {
				db, err := sql.Open(driver, dsn)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { db.Close() })
				return db
			})
		})
	}
}

func newMigrator(t *testing.T, db *sql.DB, postgres bool) *migrations.Migrator {
	t.Helper()
	m, err := migrations.New(db, postgres)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// applied returns how many migrations there are and how many are applied.
func applied(t *testing.T, m *migrations.Migrator) (all, done int) {
	t.Helper()
	list, err := m.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, migration := range list {
		if migration.Applied {
			done++
		}
	}
	return len(list), done
}

func TestUpAndDown(t *testing.T) {
	eachDatabase(t, func(t *testing.T, postgres bool, open func() *sql.DB) {
		db := open()
		m := newMigrator(t, db, postgres)
		if _, done := applied(t, m); done != 0 {
			t.Errorf("%d applied to an empty database", done)
		}
		if err := m.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "coatcheck migrate up") {
			t.Errorf("Check of an empty database: %v", err)
		}
		for range 2 { // the second time there is nothing to do
			if err := m.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if all, done := applied(t, m); all != done || all < 2 {
			t.Errorf("%d of %d applied", done, all)
		}
		if err := m.Check(t.Context()); err != nil {
			t.Error(err)
		}
		for range 2 {
			if err := m.Down(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.ExecContext(t.Context(), "SELECT 1 FROM jobs"); err == nil {
			t.Error("the table jobs is still there")
		}
		if err := m.Up(t.Context()); err != nil {
			t.Errorf("up again: %v", err)
		}
	})
}

// Processes that start together take turns.
func TestUpTogether(t *testing.T) {
	eachDatabase(t, func(t *testing.T, postgres bool, open func() *sql.DB) {
		if !postgres {
			t.Skip("a SQLite database belongs to one process")
		}
		var wg sync.WaitGroup
		for range 4 {
			m := newMigrator(t, open(), postgres)
			wg.Go(func() {
				if err := m.Up(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if err := newMigrator(t, open(), postgres).Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A database that a newer program has changed is left as it is.
func TestNewerSchema(t *testing.T) {
	eachDatabase(t, func(t *testing.T, postgres bool, open func() *sql.DB) {
		db := open()
		m := newMigrator(t, db, postgres)
		if err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(t.Context(), "INSERT INTO schema_migrations (version_id, is_applied) VALUES (9999, TRUE)"); err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{"up": m.Up(t.Context()), "check": m.Check(t.Context())} {
			if err == nil || !strings.Contains(err.Error(), "the database has schema version 9999") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// A database of the first version is brought to this one with its jobs.
func TestUpFromFirst(t *testing.T) {
	eachDatabase(t, func(t *testing.T, postgres bool, open func() *sql.DB) {
		db := open()
		m := newMigrator(t, db, postgres)
		if err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := m.UpTo(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for id, steps := range map[string]string{"one": `[{"service":"a","input":{}}]`, "three": `[{"input":{"x":[1,2]}},{"input":{}},{"input":{}}]`} {
			if _, err := db.ExecContext(t.Context(), `INSERT INTO jobs (id, owner, service, status, version, priority, max_attempts, timeout, steps, progress, tags, created_at, retain, river_job_id, base_url)
				VALUES ($1, 'alice', 'a', 'queued', 1, 2, 3, 4, $2, '{}', '[]', 5, 6, 7, '')`, id, steps); err != nil {
				t.Fatal(err)
			}
		}
		if err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]int{"one": 1, "three": 3} {
			var got int
			var owner string
			if err := db.QueryRowContext(t.Context(), `SELECT step_count, owner FROM jobs WHERE id = $1`, id).Scan(&got, &owner); err != nil || got != want || owner != "alice" {
				t.Errorf("%s: %d steps of %s, %v, want %d", id, got, owner, err, want)
			}
		}
	})
}
