package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/migrations"
	"coatcheck/notify"
)

// openDatabase opens the database that the configuration names.
func openDatabase(ctx context.Context, c *config) (*jobs.Database, error) {
	if c.DatabaseURL != "" {
		return jobs.OpenPostgres(ctx, c.DatabaseURL, 20)
	}
	return jobs.OpenSQLite(ctx, c.Data)
}

// openKeys reads the keys in the database.
func openKeys(ctx context.Context, c *config, db *jobs.Database) (*jobs.Keys, error) {
	secret := []byte(c.SecretKey)
	if c.SecretKey == "" && c.DatabaseURL != "" {
		return nil, &usageError{errors.New("set secret_key or SECRET_KEY to random characters, such as `openssl rand -base64 32` prints, the same in all processes: the keys in the database are encrypted with it")}
	}
	if c.SecretKey == "" {
		var err error
		if secret, err = jobs.Secret(c.Data); err != nil {
			return nil, err
		}
	}
	return jobs.OpenKeys(ctx, db, secret)
}

// prepare brings the schema of the database up to date, or makes sure that it
// is.
func prepare(ctx context.Context, c *config, db *jobs.Database) error {
	m, err := migrations.New(db.SQL(), db.Postgres())
	if err != nil {
		return err
	}
	if c.Migrate {
		return m.Up(ctx)
	}
	return m.Check(ctx)
}

// An engine is what runs jobs and tells of them, without the HTTP API.
type engine struct {
	db        *jobs.Database
	hub       *notify.Hub
	guard     *notify.Guard
	sender    *notify.Sender
	registry  *jobs.Registry
	validator *api.Validator
	queue     *jobs.Queue
}

// newEngine puts an engine together; with viewers, jobs are watched in this
// process. Close it.
func newEngine(ctx context.Context, c *config, register func(*jobs.Registry), viewers bool, logger *slog.Logger) (e *engine, err error) {
	for _, warning := range c.warnings {
		logger.WarnContext(ctx, warning) //nolint:sloglint // the configuration's own words
	}
	e = &engine{registry: new(jobs.Registry)}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	register(e.registry)
	if c.Bench {
		registerBench(e.registry)
	}
	if err = c.checkServices(e.registry); err != nil {
		return e, err
	}
	if e.validator, err = api.NewValidator(e.registry); err != nil {
		return e, err
	}
	if e.db, err = openDatabase(ctx, c); err != nil {
		return e, err
	}
	if err = prepare(ctx, c, e.db); err != nil {
		return e, err
	}
	keys, err := openKeys(ctx, c, e.db)
	if err != nil {
		return e, err
	}
	if e.hub, err = newHub(c, logger); err != nil {
		return e, err
	}
	if e.db.Postgres() && c.RedisURL == "" {
		logger.WarnContext(ctx, "without Redis, viewers see only the jobs of their own process live; set redis_url")
	}
	if e.guard, err = notify.NewGuard(notify.GuardConfig{Allow: c.Callbacks.Allow, Loopback: c.open(), Own: own(c)}); err != nil {
		return e, err
	}
	var proxy *url.URL
	if c.Callbacks.ProxyURL != "" {
		if proxy, err = url.Parse(c.Callbacks.ProxyURL); err != nil {
			return e, errors.New("callbacks.proxy_url is no URL")
		}
	}
	e.sender = notify.NewSender(notify.SenderConfig{Guard: e.guard, Timeout: c.Callbacks.Timeout, ProxyURL: proxy, Local: jobs.NewReceivers(e.db, keys)})
	workers := 0
	if c.Worker {
		workers = c.Concurrency
	}
	qc := jobs.Config{
		Database: e.db, Keys: keys, Services: e.registry, Events: e.hub, Sender: e.sender, Schedule: c.Callbacks.Schedule, Validate: e.validator.Validate,
		Workers: workers, CallbackWorkers: c.Callbacks.Concurrency, CallbackHold: c.Callbacks.Hold, MaxTimeout: c.JobTimeout, Retain: c.Retain, MaxQueued: c.MaxQueued, MaxQueuedByUser: c.MaxQueuedByUser,
		CancelGrace: c.CancelGrace, StopTimeout: c.ShutdownTimeout, Logger: logger,
	}
	if viewers {
		qc.Viewers = e.hub
	}
	e.queue, err = jobs.New(qc)
	return e, err
}

func newHub(c *config, logger *slog.Logger) (*notify.Hub, error) {
	if c.DatabaseURL != "" && c.RedisURL != "" {
		return notify.NewRedisHub(c.RedisURL, c.RedisPrefix, logger)
	}
	return notify.NewHub(logger), nil
}

// own returns where this server is reached, which callbacks must not call.
func own(c *config) []string {
	if u, err := url.Parse(c.PublicURL); err == nil && u.Host != "" {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		return []string{net.JoinHostPort(u.Hostname(), port)}
	}
	return []string{c.Addr}
}

// close closes what newEngine opened.
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

// stop lets running jobs finish for a while, hands the rest back, and closes.
func (e *engine) stop(ctx context.Context, c *config) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.ShutdownTimeout+c.CancelGrace+10*time.Second)
	defer cancel()
	return errors.Join(e.queue.Stop(ctx), e.close())
}

// serve serves until ctx is done.
func (p *program) serve(ctx context.Context, c *config) (err error) {
	logger := newLogger(c, p.stderr)
	e, err := newEngine(ctx, c, p.services, true, logger)
	if err != nil {
		return err
	}
	auth, err := api.NewAuthenticator(c.credentials())
	if err != nil {
		return errors.Join(err, e.close())
	}
	var river http.Handler
	if c.RiverUI {
		if river, err = e.queue.Engine(ctx, api.EnginePath); err != nil {
			return errors.Join(err, e.close())
		}
	}
	handler, err := api.New(api.Config{
		Queue: e.queue, Services: e.registry, Hub: e.hub, Guard: e.guard, Auth: auth, Validator: e.validator, PublicURL: c.PublicURL, Hosts: c.Hosts,
		MaxBody: c.MaxBody, Streams: c.Streams, TrustedProxies: c.TrustedProxies, SubmitRate: c.SubmitRate, Version: version(), Engine: river, Redis: c.DatabaseURL != "" && c.RedisURL != "", Logger: logger,
	})
	if err != nil {
		return errors.Join(err, e.close())
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen: %w", err), e.close())
	}
	if err := e.queue.Start(ctx); err != nil {
		return errors.Join(err, listener.Close(), e.close())
	}
	p.greet(c, listener.Addr())
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		// No WriteTimeout: streams set a deadline for each write.
	}
	failed := make(chan error, 1)
	if c.TLSCert != "" {
		cert, err := openCertificate(c.TLSCert, c.TLSKey, logger)
		if err != nil {
			return errors.Join(err, listener.Close(), e.stop(ctx, c))
		}
		listener = tls.NewListener(listener, cert.config())
	}
	go func() { failed <- server.Serve(listener) }()
	select {
	case <-ctx.Done():
		logger.InfoContext(ctx, "stopping; a second signal stops at once", "running_jobs_may_take", c.ShutdownTimeout.String())
	case err = <-failed:
	}
	handler.Drain()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if shutdownErr := server.Shutdown(grace); shutdownErr != nil {
		server.Close() // somebody reads too slowly
	}
	if err == nil {
		if err = <-failed; errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
	}
	return errors.Join(err, e.stop(ctx, c))
}

func scheme(c *config) string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// greet says where the server is.
func (p *program) greet(c *config, addr net.Addr) {
	where := c.PublicURL
	if where == "" {
		where = scheme(c) + "://" + addr.String()
		if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
			where = fmt.Sprintf("%s://localhost:%d", scheme(c), tcp.Port)
		}
	}
	fmt.Fprintf(p.stdout, "Coatcheck is at %s\n", where)
	if c.open() {
		fmt.Fprintln(p.stdout, "There are no users, so it asks for no password and listens on this machine only.")
	}
}

// work runs jobs until ctx is done.
func (p *program) work(ctx context.Context, c *config) error {
	logger := newLogger(c, p.stderr)
	c.Worker, c.Migrate = true, false // those who serve migrate
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
	<-ctx.Done()
	logger.InfoContext(ctx, "stopping; a second signal stops at once", "running_jobs_may_take", c.ShutdownTimeout.String())
	return errors.Join(e.stop(ctx, c), health.close())
}

// migrate changes or shows the schema.
func (p *program) migrate(ctx context.Context, c *config, direction string) (err error) {
	db, err := openDatabase(ctx, c)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	m, err := migrations.New(db.SQL(), db.Postgres())
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
