package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"coatcheck/api/conn"
	"coatcheck/jobs/queue"
)

// A healthServer serves /healthz, /readyz and /metrics of a worker, in the same format
// as the API.
type healthServer struct {
	queue  *queue.Queue
	server http.Server
	failed chan error
	// stopping is true once the worker takes no more jobs.
	stopping atomic.Bool
}

// healthConnections is the maximum number of connections to a health server.
const healthConnections = 64

// serveHealth starts a health server.
func (p *program) serveHealth(ctx context.Context, addr string, q *queue.Queue, logger *slog.Logger) (*healthServer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("health_addr: listen: %w", err)
	}
	connections := conn.NewLimiter(healthConnections, logger)
	h := &healthServer{queue: q, failed: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { h.respond(w, http.StatusOK, queue.OK, nil) })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(q.Metrics(q.Health), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	h.server = http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	go func() { h.failed <- connections.Serve(&h.server, listener, nil) }()
	fmt.Fprintf(p.stdout, "Health checks are at http://%s/readyz\n", listener.Addr())
	return h, nil
}

// ready serves /readyz. It responds with 503 if the worker cannot run jobs or is stopping.
func (h *healthServer) ready(w http.ResponseWriter, _ *http.Request) {
	if h.stopping.Load() {
		h.respond(w, http.StatusServiceUnavailable, "stopping", nil)
		return
	}
	checks, status, code := h.queue.Health(), queue.OK, http.StatusOK
	for _, check := range checks {
		switch {
		case check.Status == queue.Failing:
			status, code = queue.Failing, http.StatusServiceUnavailable
		case check.Status == queue.Warning && status == queue.OK:
			status = queue.Warning
		}
	}
	h.respond(w, code, status, checks)
}

func (h *healthServer) respond(w http.ResponseWriter, code int, status string, checks []queue.Check) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// An error means that the client is gone, so there is nobody to report it to.
	_ = json.NewEncoder(w).Encode(struct {
		Status string        `json:"status"`
		Checks []queue.Check `json:"checks,omitempty"`
	}{status, checks})
}

// stop makes /readyz report that the worker is stopping. h may be nil.
func (h *healthServer) stop() {
	if h != nil {
		h.stopping.Store(true)
	}
}

// close closes the server and waits until it has stopped. h may be nil.
func (h *healthServer) close() error {
	if h == nil {
		return nil
	}
	err := h.server.Close()
	if failed := <-h.failed; !errors.Is(failed, http.ErrServerClosed) {
		err = errors.Join(err, failed)
	}
	return err
}
