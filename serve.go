package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/api"
	"coatcheck/api/auth"
	"coatcheck/web/pages"
)

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the API and, by default, run jobs", Args: noArguments,
		Long: "Serves the API and the web pages, and runs jobs.\n\nWithout a database URL, jobs are stored in SQLite and this process does everything.\n" +
			"With PostgreSQL and Redis, any number of serve and worker processes share the work.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			if err := c.checkOpen(); err != nil {
				return err
			}
			return p.serve(cmd.Context(), c, func() (*config, error) { return p.configure(cmd) })
		},
	}
	addFlags(cmd, "addr", "public_url", "data", "database_url", "redis_url", "concurrency", "shutdown_timeout")
	cmd.Flags().Bool("no-worker", false, "do not run jobs; worker processes run them")
	cmd.Flags().Bool("no-migrate", false, "do not migrate the database")
	addBenchFlag(cmd)
	return cmd
}

// serve serves until ctx is done. On SIGHUP, it reloads the configuration with read.
func (p *program) serve(ctx context.Context, c *config, read func() (*config, error)) (err error) {
	hangup, stopNotify := notifyHangup()
	defer stopNotify()
	logger, flush := newLogger(c, p.stderr)
	defer flush()
	var cert *certificate
	if c.TLSCert != "" {
		if cert, err = openCertificate(c.TLSCert, c.TLSKey, logger); err != nil {
			return err
		}
	}
	configured := *c // before limits of the system lower some settings
	connections := c.connections(logger)
	var shown atomic.Pointer[config]
	shown.Store(c)
	e, err := newEngine(ctx, c, p.services, true, logger)
	if err != nil {
		return err
	}
	authenticator, err := auth.New(c.credentials())
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
		Queue: e.queue, Services: e.registry, Hub: e.hub, Guard: e.guard, Auth: authenticator, Sessions: e.sessions, Files: e.files, Validator: e.validator, PublicURL: c.PublicURL, Hosts: c.Hosts,
		MaxBody: c.MaxBody, Connections: connections, Streams: c.Streams, TrustedProxies: c.TrustedProxies, AllowProxy: c.AllowProxy, SubmitRate: c.SubmitRate, Version: version(), Engine: river, Redis: c.DatabaseURL != "" && c.RedisURL != "", Logger: logger,
		Settings: func() []api.Setting { return shown.Load().rows() },
	})
	if err != nil {
		return errors.Join(err, e.close())
	}
	pages.Mount(handler)
	listener, err := listenTCP(ctx, c.Addr)
	if err != nil {
		return errors.Join(err, e.close())
	}
	e.guard.Listen(listener.Addr())
	if err := e.queue.Start(ctx); err != nil {
		return errors.Join(err, listener.Close(), e.close())
	}
	p.printAddress(c, listener.Addr())
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
		// There is no ReadTimeout and no WriteTimeout, because event streams are long.
		// The handler sets a deadline for each body and each write instead.
		HTTP2: &http.HTTP2Config{WriteByteTimeout: 20 * time.Second},
	}
	var tlsConfig *tls.Config
	if cert != nil {
		tlsConfig = cert.config()
	}
	failed := make(chan error, 1)
	go func() { failed <- connections.Serve(server, listener, tlsConfig) }()
	reloader := &reloader{read, &configured, &shown, e.registry, authenticator, cert, logger}
	for running := true; running; {
		select {
		case <-hangup:
			reloader.reload(ctx)
		case <-ctx.Done():
			logger.InfoContext(ctx, "stopping; a second signal stops at once", "running_jobs_may_take", c.ShutdownTimeout.String())
			running = false
		case err = <-failed:
			running = false
		}
	}
	handler.Drain()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if shutdownErr := server.Shutdown(grace); shutdownErr != nil {
		server.Close() // a client reads too slowly
	}
	handler.Wait(grace)
	if err == nil {
		if err = <-failed; errors.Is(err, http.ErrServerClosed) {
			err = nil
		}
	}
	return errors.Join(err, e.stop(ctx, c))
}

// listenTCP listens at an address. If it is taken, the error says what to do.
func listenTCP(ctx context.Context, addr string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err == nil {
		return listener, nil
	}
	host, port, splitErr := net.SplitHostPort(addr)
	number, portErr := strconv.Atoi(port)
	if !errors.Is(err, syscall.EADDRINUSE) || splitErr != nil || portErr != nil || number > 65535-50 {
		return nil, fmt.Errorf("listen: %w", err)
	}
	hint := "is another server running there?"
	if runtime.GOOS == "darwin" && number == 5000 {
		hint = "macOS uses port 5000 for AirPlay."
	}
	return nil, fmt.Errorf("listen: %w: %s Choose another port, as in --addr %s", err, hint, net.JoinHostPort(host, strconv.Itoa(number+50)))
}

func scheme(c *config) string {
	if c.TLSCert != "" {
		return "https"
	}
	return "http"
}

// printAddress prints the URL of the server.
func (p *program) printAddress(c *config, addr net.Addr) {
	address := c.PublicURL
	if address == "" {
		address = scheme(c) + "://" + addr.String()
		if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
			address = fmt.Sprintf("%s://localhost:%d", scheme(c), tcp.Port)
		}
	}
	fmt.Fprintf(p.stdout, "Coatcheck is at %s\n", address)
	if c.open() {
		fmt.Fprintln(p.stdout, "No users are configured, so no password is required and only this machine can connect.")
	}
}
