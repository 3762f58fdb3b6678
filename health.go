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

	"coatcheck/api"
	"coatcheck/jobs"
)

// A healthServer answers /healthz, /readyz and /metrics for a worker, which
// serves nothing else, in the words of the API's.
type healthServer struct {
	queue  *jobs.Queue
	server http.Server
	failed chan error
	// stopping says that the worker takes no more jobs.
	stopping atomic.Bool
}

// healthConnections is how many connections may ask for a worker's health.
const healthConnections = 64

// serveHealth starts to answer at an address.
func (p *program) serveHealth(ctx context.Context, addr string, queue *jobs.Queue, logger *slog.Logger) (*healthServer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("health_addr: listen: %w", err)
	}
	connections := api.NewConnections(healthConnections, logger)
	h := &healthServer{queue: queue, failed: make(chan error, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { h.answer(w, http.StatusOK, jobs.OK, nil) })
	mux.HandleFunc("GET /readyz", h.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(queue.Metrics(queue.Health), promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	h.server = http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		ConnContext: connections.Context, ConnState: connections.State,
		ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	go func() { h.failed <- h.server.Serve(connections.Listen(listener)) }()
	fmt.Fprintf(p.stdout, "Health is at http://%s/readyz\n", listener.Addr())
	return h, nil
}

// ready answers 503 while the worker can't run jobs, and while it stops.
func (h *healthServer) ready(w http.ResponseWriter, _ *http.Request) {
	if h.stopping.Load() {
		h.answer(w, http.StatusServiceUnavailable, "stopping", nil)
		return
	}
	checks, status, code := h.queue.Health(), jobs.OK, http.StatusOK
	for _, check := range checks {
		switch {
		case check.Status == jobs.Failing:
			status, code = jobs.Failing, http.StatusServiceUnavailable
		case check.Status == jobs.Warning && status == jobs.OK:
			status = jobs.Warning
		}
	}
	h.answer(w, code, status, checks)
}

func (h *healthServer) answer(w http.ResponseWriter, code int, status string, checks []jobs.Check) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	// Who asked may be gone: nobody else is to be told.
	_ = json.NewEncoder(w).Encode(struct {
		Status string       `json:"status"`
		Checks []jobs.Check `json:"checks,omitempty"`
	}{status, checks})
}

// stop says that the worker is stopping.
func (h *healthServer) stop() {
	if h != nil {
		h.stopping.Store(true)
	}
}

// close stops answering and waits for it.
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
