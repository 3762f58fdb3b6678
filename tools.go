package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"coatcheck/api/auth"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// maxPassword is the maximum length of a password in bytes.
const maxPassword = 1024

// hashPassword prints the hash of a password.
func (p *program) hashPassword() error {
	password, err := p.readPassword()
	if err != nil {
		return err
	}
	hash, err := auth.HashPassword(password)
	if err != nil {
		return &usageError{err}
	}
	_, err = fmt.Fprintln(p.stdout, hash)
	return err
}

// readPassword prompts for a password twice without echo. If standard input is not a
// terminal, it reads one line.
func (p *program) readPassword() (string, error) {
	f, ok := p.stdin.(*os.File)
	if !ok || !isTerminal(f) {
		line, err := bufio.NewReader(io.LimitReader(p.stdin, maxPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read password: %w", err)
		}
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if line == "" || len(line) > maxPassword {
			return "", &usageError{fmt.Errorf("expected a password of 1 to %d bytes on standard input", maxPassword)}
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(p.stderr, prompt)
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(p.stderr)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return string(b), nil
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	if again, err := ask("Repeat password: "); err != nil || again != first {
		return "", cmp.Or(err, error(&usageError{errors.New("the passwords do not match")}))
	}
	if first == "" || len(first) > maxPassword {
		return "", &usageError{fmt.Errorf("expected a password of 1 to %d bytes", maxPassword)}
	}
	return first, nil
}

// apiKey prints a new API key and its hash.
func (p *program) apiKey() error {
	key, hash, err := auth.NewAPIKey()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "key:  %s\nhash: %s\n", key, hash)
	return err
}

// withKeys calls do with the keys in the database. The server may use the database at
// the same time, even SQLite.
func withKeys(ctx context.Context, c *config, do func(*keys.Keyring) error) (err error) {
	var db *store.DB
	if c.DatabaseURL != "" {
		db, err = store.OpenPostgres(ctx, c.DatabaseURL, 2)
	} else {
		db, err = store.JoinSQLite(ctx, c.Data)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	keys, err := openKeys(ctx, c, db, false)
	if err != nil {
		return err
	}
	return do(keys)
}

// listKeys prints the keys that callbacks to a user are signed with.
func (p *program) listKeys(ctx context.Context, c *config, user string) error {
	return withKeys(ctx, c, func(ring *keys.Keyring) error {
		list, err := ring.List(ctx, user)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tSCHEME\tUSER\tCREATED\tSIGNS UNTIL\tPUBLIC KEY")
		for _, k := range list {
			until := "-"
			if k.ExpiresAt != nil {
				until = k.ExpiresAt.Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Scheme, cmp.Or(k.Owner, "(server)"), k.CreatedAt.Format(time.RFC3339), until, cmp.Or(k.PublicKey, "-"))
		}
		return w.Flush()
	})
}

// createKey creates a key and prints it. With a grace period, the key replaces the
// existing ones.
func (p *program) createKey(ctx context.Context, c *config, user string, grace *time.Duration) error {
	return withKeys(ctx, c, func(ring *keys.Keyring) error {
		key, secret, err := ring.Create(ctx, user, grace)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "id:  %s\nkey: %s\n", key.ID, cmp.Or(key.PublicKey, secret))
		return err
	})
}

// revokeKey revokes a key.
func (p *program) revokeKey(ctx context.Context, c *config, user, id string) error {
	return withKeys(ctx, c, func(ring *keys.Keyring) error { return ring.Revoke(ctx, user, id) })
}

func (p *program) hashPasswordCommand() *cobra.Command {
	return &cobra.Command{
		Use: "hash-password", Short: "Print the hash of a password for httpauth", Args: noArguments,
		Long: "Prompts for a password, or reads a line from standard input, and prints its argon2id hash for the section httpauth of the configuration.",
		RunE: func(*cobra.Command, []string) error { return p.hashPassword() },
	}
}

func (p *program) apiKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "api-key", Short: "Create an API key", Args: noArguments,
		Long: "Creates an API key for the header `Authorization: Bearer …`, and prints it with its hash for the section api_keys of the configuration. The key itself is not stored.",
		RunE: func(*cobra.Command, []string) error { return p.apiKey() },
	}
}
