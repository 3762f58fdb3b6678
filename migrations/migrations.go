// Package migrations creates and migrates the schema of the database, which consists of
// River's tables and our own, in PostgreSQL or SQLite.
package migrations

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed postgres/*.sql sqlite/*.sql
var files embed.FS

// A Migrator migrates one database.
type Migrator struct {
	db       *sql.DB
	postgres bool
	river    *rivermigrate.Migrator[*sql.Tx]
	ours     *goose.Provider
}

// A Migration is one migration of the schema.
type Migration struct {
	Name    string // such as "river 6 (…)" or "00001_jobs.sql"
	Applied bool
}

// New returns a migrator for db, which is PostgreSQL or else SQLite.
func New(db *sql.DB, postgres bool) (*Migrator, error) {
	var driver riverdriver.Driver[*sql.Tx] = riversqlite.New(db)
	dialect, dir := goose.DialectSQLite3, "sqlite"
	if postgres {
		driver = riverdatabasesql.New(db)
		dialect, dir = goose.DialectPostgres, "postgres"
	}
	river, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("prepare River's migrations: %w", err)
	}
	sub, err := fs.Sub(files, dir)
	if err != nil {
		return nil, err
	}
	ours, err := goose.NewProvider(dialect, db, sub, goose.WithDisableGlobalRegistry(true), goose.WithTableName("schema_migrations"))
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	return &Migrator{db, postgres, river, ours}, nil
}

// Up applies all pending migrations. Several processes may call it at once: on
// PostgreSQL, a lock makes them take turns.
func (m *Migrator) Up(ctx context.Context) error {
	return m.withLock(ctx, func() error {
		if err := m.checkNewer(ctx); err != nil {
			return err
		}
		if _, err := m.river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
			return fmt.Errorf("migrate River's tables: %w", err)
		}
		if _, err := m.ours.Up(ctx); err != nil {
			return fmt.Errorf("migrate tables: %w", err)
		}
		return nil
	})
}

// Down reverts all migrations. This drops all tables, including all jobs.
func (m *Migrator) Down(ctx context.Context) error {
	return m.withLock(ctx, func() error {
		if _, err := m.ours.DownTo(ctx, 0); err != nil {
			return fmt.Errorf("drop tables: %w", err)
		}
		if _, err := m.river.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1}); err != nil {
			return fmt.Errorf("drop River's tables: %w", err)
		}
		return nil
	})
}

// Status returns all migrations in the order in which they are applied.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	existing, err := m.river.ExistingVersions(ctx)
	if err != nil {
		return nil, fmt.Errorf("read River's migrations: %w", err)
	}
	applied := make(map[int]bool)
	for _, v := range existing {
		applied[v.Version] = true
	}
	var all []Migration
	for _, v := range m.river.AllVersions() {
		all = append(all, Migration{fmt.Sprintf("river %d (%s)", v.Version, v.Name), applied[v.Version]})
	}
	ours, err := m.ours.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	for _, s := range ours {
		all = append(all, Migration{s.Source.Path, s.State == goose.StateApplied})
	}
	return all, nil
}

// checkNewer returns an error if a newer version of this program has migrated the
// database.
func (m *Migrator) checkNewer(ctx context.Context) error {
	version, err := m.ours.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	sources := m.ours.ListSources()
	if newest := sources[len(sources)-1].Version; version > newest {
		return fmt.Errorf("the database has schema version %d, but this program supports at most version %d: run the newer coatcheck that migrated it", version, newest)
	}
	return nil
}

// Check returns an error if a migration is pending, or if a newer version of this
// program has migrated the database.
func (m *Migrator) Check(ctx context.Context) error {
	if err := m.checkNewer(ctx); err != nil {
		return err
	}
	all, err := m.Status(ctx)
	if err != nil {
		return err
	}
	for _, migration := range all {
		if !migration.Applied {
			return fmt.Errorf("the database lacks migration %s: run `coatcheck migrate up`", migration.Name)
		}
	}
	return nil
}

// lockID is the id of the advisory lock in PostgreSQL for migrations.
const lockID = 0x636f617463686b // "coatchk"

// withLock calls fn while no other process migrates the same database.
func (m *Migrator) withLock(ctx context.Context, fn func() error) (err error) {
	if !m.postgres {
		return fn()
	}
	conn, err := m.db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_lock($1)", lockID); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	defer func() {
		_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), "SELECT pg_advisory_unlock($1)", lockID)
		err = errors.Join(err, unlockErr)
	}()
	return fn()
}
