package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"coatcheck/api/auth"
	"coatcheck/api/bench"
	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/receivers"
	"coatcheck/jobs/schema"
	"coatcheck/jobs/store"
	"coatcheck/notify"
	"coatcheck/services/command"
)

// An engine runs jobs and publishes their events, without the HTTP API.
type engine struct {
	db        *store.DB
	hub       *notify.Hub
	guard     *notify.Guard
	sender    *notify.Sender
	registry  *jobs.Registry
	validator *schema.Validator
	receivers *receivers.Receivers
	sessions  *auth.Sessions
	files     files.Store // nil for none
	queue     *queue.Queue
}

// newEngine creates an engine, which the caller must close or stop. viewers is true if
// this process serves event streams.
func newEngine(
	ctx context.Context, c *config, register func(*jobs.Registry), viewers bool, logger *slog.Logger,
) (e *engine, err error) {
	for _, warning := range c.warnings {
		logger.WarnContext(ctx, warning) //nolint:sloglint // the message is the warning
	}
	e = &engine{registry: new(jobs.Registry)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	register(e.registry)
	if c.Bench {
		bench.Register(e.registry)
	}
	if err = c.addServices(e.registry); err != nil {
		return e, err
	}
	if err = c.checkServices(e.registry); err != nil {
		return e, err
	}
	if c.Worker && len(c.Commands) > 0 {
		command.RemoveOrphans()
	}
	if e.validator, err = schema.NewValidator(e.registry); err != nil {
		return e, err
	}
	if e.db, err = openDatabase(ctx, c); err != nil {
		return e, err
	}
	if err = prepare(ctx, c, e.db); err != nil {
		return e, err
	}
	keys, err := openKeys(ctx, c, e.db, true)
	if err != nil {
		return e, err
	}
	if e.hub, err = newHub(c, logger); err != nil {
		return e, err
	}
	if e.db.Postgres() && c.RedisURL == "" {
		logger.WarnContext(ctx, "without Redis, event streams show live events only of jobs in the same process; set redis_url")
	}
	e.guard, err = notify.NewGuard(notify.GuardConfig{
		Allow: c.Callbacks.Allow, Loopback: c.open(), Own: ownAddresses(c), Listens: []string{c.Addr},
	})
	if err != nil {
		return e, err
	}
	var proxy *url.URL
	if c.Callbacks.ProxyURL != "" {
		if proxy, err = url.Parse(c.Callbacks.ProxyURL); err != nil {
			return e, errors.New("callbacks.proxy_url is not a valid URL")
		}
	}
	e.receivers, e.sessions = receivers.New(e.db, keys), auth.NewSessions(e.db)
	e.sender = notify.NewSender(notify.SenderConfig{
		Guard: e.guard, Timeout: c.Callbacks.Timeout, ProxyURL: proxy, CheckForProxy: !c.Callbacks.ProxyResolves,
		Local: e.receivers,
	})
	if e.files, err = openFileStore(ctx, c, keys); err != nil {
		return e, err
	}
	workers := 0
	if c.Worker {
		workers = c.Concurrency
	}
	qc := queue.Config{
		Database: e.db, Keys: keys, Receivers: e.receivers,
		Housekeeping: []func(context.Context) error{e.sessions.DeleteExpired},
		Services:     e.registry, Validate: e.validator.Validate, Fill: e.validator.Fill, FileProperties: e.validator.Files,
		Events: e.hub, Sender: e.sender, Schedule: c.Callbacks.Schedule, CallbackWorkers: c.Callbacks.Concurrency,
		CallbackHold: c.Callbacks.Hold, Workers: workers, MaxTimeout: c.JobTimeout, Retain: c.Retain,
		MaxQueued: c.MaxQueued, MaxQueuedByUser: c.MaxQueuedByUser, MaxOutput: int(c.MaxOutput),
		CancelGrace: c.CancelGrace, StopTimeout: c.ShutdownTimeout, Files: e.files, Isolate: isolate(c, e.files),
		Version: version(), Logger: logger,
	}
	if viewers {
		qc.Viewers = e.hub
	}
	e.queue, err = queue.New(qc)
	return e, err
}

func newHub(c *config, logger *slog.Logger) (*notify.Hub, error) {
	if c.DatabaseURL != "" && c.RedisURL != "" {
		return notify.NewRedisHub(c.RedisURL, c.RedisPrefix, logger)
	}
	return notify.NewHub(logger), nil
}

// ownAddresses returns the host names and ports of this server, which callbacks must
// not call. A name in hosts may belong to a proxy on the standard ports.
func ownAddresses(c *config) []string {
	var names []string
	ports := []string{"80", "443"}
	if _, port, err := net.SplitHostPort(c.Addr); err == nil {
		ports = append(ports, port)
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Host != "" {
		port := cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
		names = append(names, net.JoinHostPort(u.Hostname(), port), net.JoinHostPort(u.Hostname(), ports[len(ports)-1]))
		ports = append(ports, port)
	}
	for _, host := range c.Hosts {
		if _, _, err := net.SplitHostPort(host); err == nil {
			names = append(names, host)
			continue
		}
		for _, port := range ports {
			names = append(names, net.JoinHostPort(strings.Trim(host, "[]"), port))
		}
	}
	return names
}

// close closes everything that newEngine opened.
func (e *engine) close() error {
	if e.sender != nil {
		e.sender.Close()
	}
	if e.hub != nil {
		e.hub.Close()
	}
	if e.db != nil {
		return e.db.Close()
	}
	return nil
}

// stop waits for running jobs until the shutdown timeout, returns the others to the
// queue, and closes the engine.
func (e *engine) stop(ctx context.Context, c *config) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout+c.CancelGrace+10*time.Second)
	defer cancel()
	return errors.Join(e.queue.Stop(ctx), e.close())
}
