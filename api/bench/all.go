package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"coatcheck/api/client"
)

// An allBench measures servers that it starts itself, with default settings, one
// on each database.
type allBench struct {
	*bench
	binary    string
	databases []string
	streams   int
}

var databases = []string{"sqlite", "postgres"}

// run measures on one database after the other.
func (a *allBench) run(ctx context.Context) error {
	postgres, redis, err := a.Databases()
	if err != nil {
		return err
	}
	for _, database := range a.databases {
		var s *storage
		switch {
		case !slices.Contains(databases, database):
			return client.BadArgument(fmt.Errorf("--database: expected some of %q", databases))
		case database == "sqlite":
			s, err = newSQLiteStore("")
		case postgres == "" || redis == "":
			fmt.Fprintln(a.Stderr, "PostgreSQL is left out: DATABASE_URL and REDIS_URL are not set.")
			continue
		default:
			s, err = newPostgresStore(ctx, postgres, redis, "")
		}
		if err != nil {
			return err
		}
		err = a.measureAll(ctx, s)
		if err = errors.Join(err, s.drop(context.WithoutCancel(ctx))); err != nil {
			return fmt.Errorf("%s: %w", database, err)
		}
	}
	return nil
}

// measureAll measures everything on one store.
func (a *allBench) measureAll(ctx context.Context, s *storage) error {
	type phase struct {
		name    string
		callers int
		run     func(context.Context, *bench) (figure, error)
	}
	load := func(op func(*bench) (operation, error)) func(context.Context, *bench) (figure, error) {
		return func(ctx context.Context, b *bench) (figure, error) {
			do, err := op(b)
			if err != nil {
				return figure{}, err
			}
			return b.costed(ctx, func() (figure, error) {
				m, err := b.load(ctx, do)
				return m.figure(""), err
			})
		}
	}
	streams := func(ctx context.Context, b *bench) (figure, error) {
		e := &eventBench{bench: b, streams: a.streams}
		return b.costed(ctx, func() (figure, error) {
			return e.measureLive(ctx, &eventRound{jobs: a.streams, viewers: a.streams, rate: 10, size: 100})
		})
	}
	ended := func(see string) func(*bench) (operation, error) {
		return func(b *bench) (operation, error) { return b.untilEnd(see) }
	}
	for _, server := range []struct {
		args   []string
		phases []phase
	}{
		{[]string{"--no-worker"}, []phase{{"submit", a.callers, load(func(b *bench) (operation, error) { return b.submitOne, nil })}}},
		{nil, []phase{
			{"drain", a.callers, func(ctx context.Context, b *bench) (figure, error) { return b.drained(ctx) }}, // what was submitted before
			{"poll", a.callers, load(func(b *bench) (operation, error) { return b.pollOne(ctx) })},
			{"e2e stream", a.callers, load(ended("stream"))},
			{"e2e wait", a.callers, load(ended("wait"))},
			{"e2e poll", a.callers, load(ended("poll"))},
			{"e2e idle", 1, load(ended("stream"))},
		}},
		{[]string{"--concurrency", strconv.Itoa(a.streams)}, []phase{{"streams", a.callers, streams}}},
	} {
		running, err := s.start(ctx, a.binary, a.Variables, server.args...)
		if err != nil {
			return err
		}
		for _, p := range server.phases {
			b := *a.bench
			b.callers = p.callers
			if b.client, err = b.NewClient(running.url); err != nil {
				break
			}
			var f figure
			if f, err = p.run(ctx, &b); err == nil {
				f.Name, f.Database = p.name, s.name
				err = b.print(f)
			}
			b.client.HTTP.CloseIdleConnections()
			if err != nil {
				err = fmt.Errorf("%s: %w", p.name, err)
				break
			}
		}
		if err = errors.Join(err, running.stop()); err != nil {
			return err
		}
	}
	return nil
}

// costed measures what the server spends on what measure does.
func (b *bench) costed(ctx context.Context, measure func() (figure, error)) (figure, error) {
	before, err := b.usage(ctx)
	if err != nil {
		return figure{}, err
	}
	f, err := measure()
	if err != nil {
		return f, err
	}
	after, err := b.usage(ctx)
	if err != nil {
		return f, err
	}
	f.charge(before, after)
	return f, nil
}

// charge sets what the server has spent on each call, those of the warm-up too.
func (f *figure) charge(before, after map[string]float64) {
	const cpu = "process_cpu_seconds_total"
	f.CPU = (after[cpu] - before[cpu]) * 1000 / float64(max(1, f.Made, f.Count))
	f.Memory = after["process_resident_memory_bytes"] / 1e6
}

// drained measures how fast all jobs that wait are worked off.
func (b *bench) drained(ctx context.Context) (figure, error) {
	before := map[string]float64{} // since the server's start, which has begun with it
	first, last, count, err := b.ends(ctx, b.client.URL+"/v1/jobs?service="+b.service)
	if err != nil {
		return figure{}, err
	}
	after, err := b.usage(ctx)
	if err != nil {
		return figure{}, err
	}
	f := figure{Count: int64(count), Rate: float64(count) / last.Sub(first).Seconds()}
	f.charge(before, after)
	return f, nil
}
