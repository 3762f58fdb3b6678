package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"coatcheck/api"
	"coatcheck/jobs"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// A usageError is a mistake of whoever called the program, who sees no more
// than its text.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// A program is what commands share.
type program struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	// services adds what can be run.
	services func(*jobs.Registry)
}

// newCommand returns the command line.
func newCommand(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "coatcheck",
		Short: "Puts slow code behind an asynchronous HTTP API",
		Long: "Coatcheck puts slow code behind an asynchronous HTTP API. Without a command it serves.\n" +
			"Flags win over environment variables, these over the file, the file over the defaults.",
		Version: version(), SilenceErrors: true, SilenceUsage: true, Args: noArguments,
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetVersionTemplate("coatcheck {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	serve := p.serveCommand()
	root.RunE = serve.RunE
	root.Flags().AddFlagSet(serve.Flags())
	root.AddCommand(serve, p.workerCommand(), p.migrateCommand(), p.hashPasswordCommand(), p.apiKeyCommand(), p.keysCommand(), p.runCommand(), p.watchCommand(), p.listenCommand(), p.benchCommand(), &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, "coatcheck", version())
			return err
		},
	})
	return root
}

func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Errorf("%s takes no argument %q; see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
	return nil
}

// version returns the version of the build, or its commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(12, len(s.Value))]
		}
	}
	return "devel"
}

// addFlags adds the flags of these settings, and --config.
func addFlags(cmd *cobra.Command, keys ...string) {
	cmd.Flags().String("config", "", "YAML file with settings (CONFIG_FILENAME)")
	defaults := defaultTexts()
	for _, s := range settings {
		for _, key := range keys {
			if s.key == key {
				cmd.Flags().String(s.flag, defaults[key], fmt.Sprintf("%s (%s)", s.help, s.env))
			}
		}
	}
}

// defaultTexts are the defaults that --help shows.
func defaultTexts() map[string]string {
	c := defaults()
	return map[string]string{"addr": c.Addr, "data": c.Data, "concurrency": strconv.Itoa(c.Concurrency), "shutdown_timeout": c.ShutdownTimeout.String()}
}

// configure loads the configuration that a command runs with.
func (p *program) configure(cmd *cobra.Command) (*config, error) {
	flags := make(map[string]string)
	cmd.Flags().Visit(func(f *pflag.Flag) { flags[f.Name] = f.Value.String() })
	c, err := load(flags["config"], p.getenv, flags)
	if err != nil {
		return nil, err
	}
	if flags["no-worker"] == "true" {
		c.Worker = false
	}
	if flags["no-migrate"] == "true" {
		c.Migrate = false
	}
	c.Bench = flags["bench"] == "true"
	return c, nil
}

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the API and, unless told otherwise, run jobs", Args: noArguments,
		Long: "Serve the API and the page, and run jobs.\n\nWithout a database URL, jobs are kept in SQLite and all happens in this process.\n" +
			"With PostgreSQL and Redis, any number of serve and worker processes share the work.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			if err := c.checkOpen(); err != nil {
				return err
			}
			return p.serve(cmd.Context(), c)
		},
	}
	addFlags(cmd, "addr", "public_url", "data", "database_url", "redis_url", "concurrency", "shutdown_timeout")
	cmd.Flags().Bool("no-worker", false, "only serve; others run the jobs")
	cmd.Flags().Bool("no-migrate", false, "do not migrate the database")
	addBenchFlag(cmd)
	return cmd
}

func (p *program) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "worker", Short: "Run jobs, on a PostgreSQL database that others serve", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			if c.DatabaseURL == "" {
				return &usageError{errors.New("a worker shares a PostgreSQL database with others: set --database-url or DATABASE_URL; without one, `coatcheck serve` runs jobs itself")}
			}
			return p.work(cmd.Context(), c)
		},
	}
	addFlags(cmd, "database_url", "redis_url", "concurrency", "health_addr", "shutdown_timeout")
	addBenchFlag(cmd)
	return cmd
}

func addBenchFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("bench", false, "offer the service "+benchService+", which coatcheck bench events needs")
}

func (p *program) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Change or show the schema of the database", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{fmt.Errorf("expected `%s up`, `down` or `status`", cmd.CommandPath())}
		},
	}
	var yes bool
	for name, short := range map[string]string{
		"up": "Bring the schema up to date", "down": "Remove all tables, with all jobs", "status": "List the migrations",
	} {
		sub := &cobra.Command{
			Use: name, Short: short, Args: noArguments,
			RunE: func(cmd *cobra.Command, _ []string) error {
				c, err := p.configure(cmd)
				if err != nil {
					return err
				}
				if name == "down" && !yes {
					return &usageError{errors.New("this removes all jobs for good; add --yes if you mean it")}
				}
				return p.migrate(cmd.Context(), c, name)
			},
		}
		if name == "down" {
			sub.Flags().BoolVar(&yes, "yes", false, "remove all jobs")
		}
		addFlags(sub, "data", "database_url")
		cmd.AddCommand(sub)
	}
	return cmd
}

func (p *program) hashPasswordCommand() *cobra.Command {
	return &cobra.Command{
		Use: "hash-password", Short: "Print the hash of a password for httpauth", Args: noArguments,
		Long: "Asks for a password without showing it, or reads a line from standard input, and prints an argon2id hash for the section httpauth of the configuration.",
		RunE: func(*cobra.Command, []string) error { return p.hashPassword() },
	}
}

func (p *program) apiKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "api-key", Short: "Make an API key", Args: noArguments,
		Long: "Makes an API key, for the header `Authorization: Bearer …`, and prints it with its hash for the section api_keys of the configuration. The key itself is kept nowhere.",
		RunE: func(*cobra.Command, []string) error { return p.apiKey() },
	}
}

// oneArgument lets a command take an argument of this name, or none when it
// stands in brackets.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 || len(args) == 0 && !strings.HasPrefix(name, "[") {
			return &usageError{fmt.Errorf("%s takes one argument, %s", cmd.CommandPath(), strings.Trim(name, "[]"))}
		}
		return nil
	}
}

func (p *program) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "keys", Short: "Manage the keys that callbacks are signed with", Args: noArguments,
		Long: "Callbacks are signed as Standard Webhooks 1.0 says: with the server's own key (v1a), whose public half whpk_… is for all,\n" +
			"and with the secrets whsec_… (v1) that a user shares with the server. Either verifies them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return &usageError{fmt.Errorf("expected `%s list`, `create`, `rotate` or `revoke`", cmd.CommandPath())}
		},
	}
	var server bool
	var grace time.Duration
	add := func(use, argument, short, long string, run func(ctx context.Context, c *config, user, argument string) error) *cobra.Command {
		sub := &cobra.Command{Use: use + " " + argument, Short: short, Long: long, Args: oneArgument(argument)}
		user := ""
		sub.RunE = func(cmd *cobra.Command, args []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			first := ""
			if len(args) == 1 {
				first = args[0]
			}
			owner := cmp.Or(user, api.LocalUser)
			if strings.Contains(argument, "USER") {
				owner = cmp.Or(first, api.LocalUser)
			}
			if server {
				owner = ""
			}
			return run(cmd.Context(), c, owner, first)
		}
		if !strings.Contains(argument, "USER") {
			sub.Flags().StringVar(&user, "user", "", "whose key it is")
		}
		if use != "list" {
			sub.Flags().BoolVar(&server, "server", false, "the server's own key, not a user's")
		}
		addFlags(sub, "data", "database_url")
		cmd.AddCommand(sub)
		return sub
	}
	add("list", "[USER]", "List the keys that callbacks to a user are signed with", "Lists the keys of a user and the server's own, without their secrets.",
		func(ctx context.Context, c *config, user, _ string) error { return p.listKeys(ctx, c, user) })
	add("create", "[USER]", "Make another key", "Makes a key that signs beside those there are, and prints it this once.",
		func(ctx context.Context, c *config, user, _ string) error { return p.createKey(ctx, c, user, nil) })
	rotate := add("rotate", "[USER]", "Make a new key in the place of the old ones", "Makes a key and prints it this once. The old ones go on signing for the grace, so that receivers have time to change over.",
		func(ctx context.Context, c *config, user, _ string) error {
			if grace < 0 || grace > jobs.MaxGrace {
				return &usageError{fmt.Errorf("--grace: expected 0 to %s", jobs.MaxGrace)}
			}
			return p.createKey(ctx, c, user, &grace)
		})
	rotate.Flags().DurationVar(&grace, "grace", 24*time.Hour, "how long the old keys go on signing; 0 means not at all")
	add("revoke", "ID", "End a key now", "Callbacks are no longer signed with the key.",
		func(ctx context.Context, c *config, user, id string) error { return p.revokeKey(ctx, c, user, id) })
	return cmd
}

func (p *program) listenCommand() *cobra.Command {
	l := &listener{program: p}
	cmd := &cobra.Command{
		Use: "listen", Short: "Receive callbacks and print them, to try things out", Args: noArguments,
		Long: "Receives callbacks and prints them. Their signatures are verified with the keys in the database, if it can be reached.\n" +
			"A URL can ask for another answer: http://127.0.0.1:5001/?status=503&delay=10s.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			return l.run(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&l.addr, "addr", "127.0.0.1:5001", "address to listen on")
	cmd.Flags().IntVar(&l.count, "count", 0, "stop after this many callbacks; 0 means never")
	cmd.Flags().StringVar(&l.user, "user", "", "the user whose callbacks they are")
	cmd.Flags().IntVar(&l.reply.status, "status", 204, "status to answer with")
	cmd.Flags().DurationVar(&l.reply.delay, "delay", 0, "how long to wait before the answer")
	addFlags(cmd, "data", "database_url")
	return cmd
}
