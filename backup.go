package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"coatcheck/jobs/files"
	"coatcheck/jobs/store"
)

func (p *program) backupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup DIRECTORY", Short: "Copy the data directory while the server runs", Args: oneArgument("DIRECTORY"),
		Long: "Copies the data directory, with the current state of all jobs, to a new directory. A server started with --data on the copy\n" +
			"continues from that state. Protect the copy like the data directory itself: it contains the secret behind all tokens and keys.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			if c.DatabaseURL != "" {
				return &usageError{errors.New("use a PostgreSQL tool such as pg_dump to back up the database, and keep secret_key too: without it, the keys in the database cannot be decrypted")}
			}
			return p.backup(cmd.Context(), c, args[0])
		},
	}
	addFlags(cmd, "data", "database_url")
	return cmd
}

// backup copies the data directory to a new directory. The copy gets its final name
// only when it is complete and on disk.
func (p *program) backup(ctx context.Context, c *config, dir string) error {
	dir = filepath.Clean(dir)
	switch _, err := os.Lstat(dir); {
	case err == nil:
		return &usageError{fmt.Errorf("%s already exists: choose a new directory, because a backup never overwrites another", dir)}
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("create directory: %w", err)
	}
	part, err := os.MkdirTemp(filepath.Dir(dir), filepath.Base(dir)+".part-")
	if err != nil {
		return fmt.Errorf("create directory: %w", err)
	}
	defer os.RemoveAll(part)
	if err := store.Backup(ctx, c.Data, part); err != nil {
		return err
	}
	inBucket := c.FilesS3.Bucket != ""
	outside := c.FilesDir != "" && filepath.Clean(c.FilesDir) != filepath.Join(c.Data, filesName)
	if !outside && !inBucket {
		// After the database: it refers only to files that are complete.
		if err := files.Copy(ctx, c.filesDir(), filepath.Join(part, filesName)); err != nil {
			return err
		}
	}
	if err := os.Rename(part, dir); err != nil {
		return fmt.Errorf("rename directory: %w", err)
	}
	if err := store.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "Backed up to %s\n", dir)
	if inBucket {
		fmt.Fprintf(p.stdout, "The backup does not contain the files of jobs in the bucket %s: copy the objects below %q too.\n",
			c.FilesS3.Bucket, c.FilesS3.Prefix)
	}
	if outside {
		fmt.Fprintf(p.stdout, "The backup does not contain the files of jobs in %s: copy that directory too.\n", c.FilesDir)
	}
	if _, err := os.Lstat(filepath.Join(dir, store.SecretFile)); err != nil {
		fmt.Fprintln(p.stdout, "The backup does not contain the secret key, which comes from secret_key or SECRET_KEY: keep a copy of that too.")
	}
	return nil
}
