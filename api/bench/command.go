package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/api/client"
)

// Command returns the command `bench`, with a subcommand for each kind of load.
func Command(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "bench", Short: "Put load on a server and measure it", Args: env.NoArguments,
		Long: "Puts load on a running server and measures it as its callers see it. With --rate, calls are made by the clock and\n" +
			"their latency counts from when they were due; without, each caller makes the next call when it has its answer.\n" +
			env.CredentialsHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return client.BadArgument(fmt.Errorf("expected `%s submit`, `poll`, `e2e`, `drain`, `events`, `callbacks` or `all`", cmd.CommandPath()))
		},
	}
	b := &bench{Env: env}
	f := cmd.PersistentFlags()
	env.AddURLFlag(f, &b.server)
	f.IntVar(&b.callers, "callers", 64, "how many calls are under way at once, at most")
	f.Float64Var(&b.rate, "rate", 0, "calls a second; 0 means as many as it can")
	f.DurationVar(&b.warmUp, "warm-up", time.Second, "how long not to measure at first")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "how long to measure")
	f.StringVar(&b.service, "service", "maths.add", "the service to run")
	f.StringVar(&b.input, "input", `{"a": 3, "b": 4}`, "its input")
	f.BoolVar(&b.json, "json", false, "print JSON")
	add := func(use, short string, prepare func() error, run func(context.Context) error) *cobra.Command {
		sub := &cobra.Command{Use: use, Short: short, Args: env.NoArguments, RunE: func(cmd *cobra.Command, _ []string) error {
			if err := prepare(); err != nil {
				return err
			}
			return run(cmd.Context())
		}}
		cmd.AddCommand(sub)
		return sub
	}
	add("submit", "Measure submissions", b.prepare, b.submits)
	add("poll", "Measure the status of a finished job", b.prepare, b.polls)
	var see string
	e2e := add("e2e", "Measure from the submission until the output is seen", b.prepare, func(ctx context.Context) error { return b.endToEnd(ctx, see) })
	e2e.Flags().StringVar(&see, "see", "stream", "how the caller sees it: stream, wait (long polling) or poll")
	var count int
	drain := add("drain", "Measure how fast waiting jobs are worked off", b.prepare, func(ctx context.Context) error { return b.drain(ctx, count) })
	drain.Flags().IntVar(&count, "jobs", 20_000, "how many jobs to submit; start workers after that, if there are none")
	e := &eventBench{bench: b}
	events := add("events", "Measure live events", e.prepare, e.run)
	events.Long = "Measures live events: what idle viewers cost the server, how fast the events of one job reach many viewers (fan-out) and those\n" +
		"of many jobs one viewer each (streams), and whether a viewer that has stalled makes others wait. The server must be started\n" +
		"with --bench, with a --concurrency of at least --streams, and let one address open as many streams (limits in its configuration)."
	events.Flags().StringSliceVar(&e.parts, "part", []string{"idle", "fan-out", "streams", "stalled"}, "what to measure")
	events.Flags().IntVar(&e.viewers, "viewers", 1000, "how many viewers are idle, or watch one job")
	events.Flags().IntVar(&e.streams, "streams", 1000, "how many jobs have a viewer each")
	events.Flags().Float64Var(&e.eventRate, "event-rate", 10, "events of each job in a second")
	events.Flags().IntVar(&e.size, "event-size", 100, "how large the data of an event is, at least, in bytes")
	events.Flags().IntVar(&e.pairs, "pairs", 3, "how often to measure without and with viewers that have stalled")
	c := &callbackBench{bench: b}
	callbacks := add("callbacks", "Measure callbacks, with and without receivers that hang", c.prepare, c.run)
	callbacks.Flags().IntVar(&c.receivers, "receivers", 20, "how many receivers there are")
	callbacks.Flags().IntVar(&c.hanging, "hanging", 1, "how many of them hang, every other time")
	callbacks.Flags().DurationVar(&c.hang, "hang", 15*time.Second, "how long they hang")
	callbacks.Flags().IntVar(&c.pairs, "pairs", 5, "how often to measure without and with them")
	a := &allBench{bench: b}
	all := add("all", "Measure servers that it starts itself, on SQLite and on PostgreSQL", b.prepare, a.run)
	all.Long = "Starts servers with default settings, on SQLite and, where DATABASE_URL and REDIS_URL are set, on PostgreSQL with Redis, and\n" +
		"measures them: in a directory and a database that it makes and removes. The processor time is the server's, for each call."
	all.Flags().StringSliceVar(&a.databases, "database", databases, "what to keep the jobs in")
	all.Flags().StringVar(&a.binary, "binary", "", "the program to measure, such as another release; by default this one")
	all.Flags().IntVar(&a.streams, "streams", 1000, "how many jobs have a viewer each")
	return cmd
}
