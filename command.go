package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coatcheck/api/bench"
	"coatcheck/api/client"
	"coatcheck/jobs"
)

// A usageError is an error in how the program was called or configured. The exit code
// is then 2.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

// A program is the environment that all commands share.
type program struct {
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	// services registers the built-in services.
	services func(*jobs.Registry)
}

// credentialsHelp explains where clients get credentials from. They are not read from
// the command line, because other users of the machine can see that.
const credentialsHelp = "Credentials come from the environment: API_KEY, or BASIC_AUTH as name:password."

// addURLFlag adds the flag --url.
func (p *program) addURLFlag(f *pflag.FlagSet, to *string) {
	f.StringVar(to, "url", cmp.Or(p.getenv("COATCHECK_URL"), client.DefaultURL), "URL of the server (COATCHECK_URL)")
}

// newClient returns a client for the server at the URL.
func (p *program) newClient(server string) (*client.Client, error) {
	return client.New(client.Config{
		URL: server, APIKey: p.getenv("API_KEY"), BasicAuth: p.getenv("BASIC_AUTH"), UserAgent: "coatcheck/" + version(), Connections: bench.MaxCallers,
	})
}

// benchEnv returns the environment of the command `bench`.
func (p *program) benchEnv() *bench.Env {
	e := &bench.Env{
		Stdout: p.stdout, Stderr: p.stderr, Terminal: isTerminal(p.stderr),
		NoArguments: noArguments, AddURLFlag: p.addURLFlag, NewClient: p.newClient, CredentialsHelp: credentialsHelp,
		Databases: func() (postgres, redis string, err error) {
			c, err := load("", p.getenv, nil)
			if err != nil {
				return "", "", err
			}
			return c.DatabaseURL, c.RedisURL, nil
		},
	}
	for _, s := range settings {
		e.Variables = append(e.Variables, s.env)
	}
	return e
}

// newCommand returns the root command with all subcommands.
func newCommand(p *program) *cobra.Command {
	root := &cobra.Command{
		Use:   "coatcheck",
		Short: "Puts slow code behind an asynchronous HTTP API",
		Long: "Coatcheck puts slow code behind an asynchronous HTTP API. Without a command, it runs \"serve\".\n" +
			"Flags override environment variables, which override the configuration file, which overrides the defaults.",
		Version: version(), SilenceErrors: true, SilenceUsage: true, Args: noArguments, SuggestionsMinimumDistance: 2,
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetVersionTemplate("coatcheck {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	serve := p.serveCommand()
	root.RunE = serve.RunE
	root.Flags().AddFlagSet(serve.Flags())
	p.addCommands(root, serve)
	return root
}

// addCommands adds the subcommands, in the groups in which the help lists them.
func (p *program) addCommands(root, serve *cobra.Command) {
	for _, group := range []struct {
		id, title string
		commands  []*cobra.Command
	}{
		{"jobs", "Submit jobs and look after them:", []*cobra.Command{
			p.servicesCommand(), p.runCommand(), p.watchCommand(), p.jobsCommand(), p.statusCommand(), p.logsCommand(),
			p.cancelCommand(), p.retryCommand(), p.callbacksCommand(), p.listenCommand(),
		}},
		{"server", "Operate a server:", []*cobra.Command{
			serve, p.workerCommand(), p.checkCommand(), p.migrateCommand(), p.backupCommand(), p.keysCommand(),
			p.hashPasswordCommand(), p.apiKeyCommand(), bench.Command(p.benchEnv()),
		}},
		{"", "", []*cobra.Command{p.isolatedCommand(), guardCommand(), p.versionCommand()}},
	} {
		if group.id != "" {
			root.AddGroup(&cobra.Group{ID: group.id, Title: group.title})
		}
		for _, cmd := range group.commands {
			cmd.GroupID = group.id
			root.AddCommand(cmd)
		}
	}
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, "coatcheck", version())
			return err
		},
	}
}

// noArguments rejects arguments. For commands with subcommands, an argument is an
// unknown command.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.HasSubCommands() {
		return &usageError{fmt.Errorf("%s takes no arguments, got %q; see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())}
	}
	if suggestions := cmd.SuggestionsFor(args[0]); len(suggestions) > 0 {
		// An argument may be the beginning of several commands: the shortest is the nearest.
		nearest := slices.MinFunc(suggestions, func(a, b string) int { return cmp.Compare(len(a), len(b)) })
		return &usageError{fmt.Errorf("unknown command %q. Did you mean %q?", args[0], nearest)}
	}
	return &usageError{fmt.Errorf("unknown command %q; see `%s --help`", args[0], cmd.CommandPath())}
}

// version returns the version of the build, or else its commit.
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

// addFlags adds --config and the flags of the given settings.
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

// defaultTexts returns the defaults for --help.
func defaultTexts() map[string]string {
	c := defaults()
	return map[string]string{"addr": c.Addr, "data": c.Data, "concurrency": strconv.Itoa(c.Concurrency), "shutdown_timeout": c.ShutdownTimeout.String()}
}

// configure loads the configuration of a command.
func (p *program) configure(cmd *cobra.Command) (*config, error) {
	flags := make(map[string]string)
	cmd.Flags().Visit(func(f *pflag.Flag) { flags[f.Name] = f.Value.String() })
	c, err := load(flags["config"], p.getenv, flags)
	if err != nil {
		return nil, err
	}
	if flags["no-worker"] == "true" {
		c.Worker = false
		c.setSource("worker", "--no-worker")
	}
	if flags["no-migrate"] == "true" {
		c.Migrate = false
		c.setSource("migrate", "--no-migrate")
	}
	c.Bench = flags["bench"] == "true"
	return c, nil
}

func addBenchFlag(cmd *cobra.Command) {
	cmd.Flags().Bool("bench", false, "offer the service "+bench.ServiceName+", required by coatcheck bench events")
}

// oneArgument requires one argument with the given name. The argument is optional if
// the name is in brackets.
func oneArgument(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 || len(args) == 0 && !strings.HasPrefix(name, "[") {
			return &usageError{fmt.Errorf("%s takes one argument, %s", cmd.CommandPath(), strings.Trim(name, "[]"))}
		}
		return nil
	}
}

// completeService completes the name of a service, the first argument of a command, in a shell.
func (p *program) completeService(
	server *string,
) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := p.newClient(*server)
		if err != nil || len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
		defer cancel()
		return c.Services(ctx), cobra.ShellCompDirectiveNoFileComp
	}
}
