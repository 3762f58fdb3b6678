package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"
)

func (p *program) workerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "worker", Short: "Run jobs from a shared PostgreSQL database", Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			if c.DatabaseURL == "" {
				return &usageError{errors.New("a worker requires PostgreSQL: set --database-url or DATABASE_URL; with SQLite, `coatcheck serve` runs the jobs itself")}
			}
			return p.work(cmd.Context(), c)
		},
	}
	addFlags(cmd, "database_url", "redis_url", "concurrency", "health_addr", "shutdown_timeout")
	addBenchFlag(cmd)
	return cmd
}

// work runs jobs until ctx is done.
func (p *program) work(ctx context.Context, c *config) error {
	hangup, stopNotify := notifyHangup()
	defer stopNotify()
	logger, flush := newLogger(c, p.stderr)
	defer flush()
	c.Worker, c.Migrate = true, false // serve processes migrate
	e, err := newEngine(ctx, c, p.services, false, logger)
	if err != nil {
		return err
	}
	var health *healthServer
	if c.HealthAddr != "" {
		if health, err = p.serveHealth(ctx, c.HealthAddr, e.queue, logger); err != nil {
			return errors.Join(err, e.close())
		}
	}
	if err := e.queue.Start(ctx); err != nil {
		return errors.Join(err, health.close(), e.close())
	}
	logger.InfoContext(ctx, "running jobs", "concurrency", c.Concurrency)
	for ctx.Err() == nil {
		select {
		case <-hangup:
			logger.InfoContext(ctx, "workers do not reload their configuration: restart the worker to apply changes")
		case <-ctx.Done():
		}
	}
	health.stop()
	logger.InfoContext(ctx, "stopping; a second signal stops at once", "running_jobs_may_take", c.ShutdownTimeout.String())
	return errors.Join(e.stop(ctx, c), health.close())
}
