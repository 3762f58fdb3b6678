package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"coatcheck/jobs"

	"github.com/spf13/cobra"
)

func (p *program) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup DIRECTORY", Short: "Copy the data directory while the server runs", Args: oneArgument("DIRECTORY"),
		Long: "Copies the data directory, with all jobs as they are at this moment, to a new directory: a server started with --data on that goes on from there.\n" +
			"Keep it as safe as the data directory itself: it has the secret that all tokens and keys are under.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			if c.DatabaseURL != "" {
				return &usageError{errors.New("PostgreSQL has its own tools for this, such as pg_dump; keep secret_key too, without which nobody can read the keys in it")}
			}
			return p.backup(cmd.Context(), c, args[0])
		},
	}
	addFlags(cmd, "data", "database_url")
	return cmd
}

// backup copies the data directory to a new one. What has that name is whole
// and on disk: until then it has another.
func (p *program) backup(ctx context.Context, c *config, dir string) error {
	dir = filepath.Clean(dir)
	switch _, err := os.Lstat(dir); {
	case err == nil:
		return &usageError{fmt.Errorf("%s exists already: name a new directory, since a backup never takes the place of another", dir)}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("make the directory: %w", err)
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".part-")
	if err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	defer os.RemoveAll(part)
	if err := jobs.Backup(ctx, c.Data, part); err != nil {
		return err
	}
	if err := os.Rename(part, dir); err != nil {
		return fmt.Errorf("name the directory: %w", err)
	}
	if err := jobs.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Backed up to %s\n", dir)
	if _, err := os.Lstat(filepath.Join(dir, jobs.SecretFile)); err != nil {
		fmt.Fprintln(p.stdout, "The secret key is not in it: it comes from secret_key or SECRET_KEY, so keep that too.")
	}
	return nil
}
