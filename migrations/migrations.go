// Package migrations brings a database to the schema that this program
// expects: River's tables and ours, in PostgreSQL or SQLite.
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

// A Migration is one step of the schema.
type Migration struct {
	Name    string // as in "river 6" or "00001_jobs.sql"
	Applied bool
}

// New returns a migrator of db, which is PostgreSQL or else SQLite.
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

// Up applies what the database does not have yet. Several processes may call
// it at once: on PostgreSQL they take turns.
func (m *Migrator) Up(ctx context.Context) error {
	return m.alone(ctx, func() error {
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

// Down takes everything back: all tables, and with them all jobs, are gone.
func (m *Migrator) Down(ctx context.Context) error {
	return m.alone(ctx, func() error {
		if _, err := m.ours.DownTo(ctx, 0); err != nil {
			return fmt.Errorf("take tables back: %w", err)
		}
		if _, err := m.river.Migrate(ctx, rivermigrate.DirectionDown, &rivermigrate.MigrateOpts{TargetVersion: -1}); err != nil {
			return fmt.Errorf("take River's tables back: %w", err)
		}
		return nil
	})
}

// Status lists all migrations in the order they are applied.
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

// checkNewer returns an error when the database has a migration of ours that
// this program does not know: a newer one has been here.
func (m *Migrator) checkNewer(ctx context.Context) error {
	version, err := m.ours.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	sources := m.ours.ListSources()
	if newest := sources[len(sources)-1].Version; version > newest {
		return fmt.Errorf("the database has schema %d, this program knows schemas up to %d: a newer coatcheck has been here; run that one", version, newest)
	}
	return nil
}

// Check returns an error that says what to do when the database lacks a
// migration, or was made by a newer program.
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

// lockID is an advisory lock of PostgreSQL's that only this program takes.
const lockID = 0x636f617463686b // "coatchk"

// alone calls fn while no other process migrates the same database.
func (m *Migrator) alone(ctx context.Context, fn func() error) (err error) {
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
