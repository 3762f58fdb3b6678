package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"coatcheck/migrations"
)

func (p *program) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Migrate the database, or show its migrations", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{fmt.Errorf("expected `%s up`, `down` or `status`", cmd.CommandPath())}
		},
	}
	var yes bool
	for name, short := range map[string]string{
		"up": "Apply all pending migrations", "down": "Drop all tables, including all jobs", "status": "List the migrations",
	} {
		sub := &cobra.Command{
			Use: name, Short: short, Args: noArguments,
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := p.configure(cmd)
				if err != nil {
					return err
				}
				if name == "down" && !yes {
					return &usageError{errors.New("this permanently deletes all jobs; add --yes to confirm")}
				}
				return p.migrate(cmd.Context(), c, name)
			},
		}
		if name == "down" {
			sub.Flags().BoolVar(&yes, "yes", false, "confirm that all jobs are deleted")
		}
		addFlags(sub, "data", "database_url")
		cmd.AddCommand(sub)
	}
	return cmd
}

// migrate migrates the database in the given direction, if any, and lists the migrations.
func (p *program) migrate(ctx context.Context, c *config, direction string) (err error) {
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := migrations.New(db.Write, db.Postgres())
	if err != nil {
		return err
	}
	switch direction {
	case "up":
		err = m.Up(ctx)
	case "down":
		err = m.Down(ctx)
	}
	if err != nil {
		return err
	}
	list, err := m.Status(ctx)
	if err != nil {
		return err
	}
	for _, migration := range list {
		state := "pending"
		if migration.Applied {
			state = "applied"
		}
		fmt.Fprintf(p.stdout, "%-8s %s\n", state, migration.Name)
	}
	return nil
}
