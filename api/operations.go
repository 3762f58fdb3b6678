package api

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"coatcheck/api/problem"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
)

// metrics are the Prometheus metrics of the server.
type metrics struct {
	registry  *prometheus.Registry
	durations *prometheus.HistogramVec
}

func newMetrics(a *API) *metrics {
	m := &metrics{
		registry: a.Queue.Metrics(a.checks),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "coatcheck_http_request_duration_seconds",
			Help:    "Duration of HTTP requests. A stream counts until it ends.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"method", "route", "status"}),
	}
	m.registry.MustRegister(m.durations, a.streams.Refused, a.failedLogins.Total,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coatcheck_streams", Help: "Open event streams and long polls.",
		}, func() float64 { return float64(a.streams.Open()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "coatcheck_events_degraded", Help: "1 while live events may be lost, such as during a Redis outage.",
		}, func() float64 {
			if a.Hub.Degraded() {
				return 1
			}
			return 0
		}))
	if a.Connections != nil {
		m.registry.MustRegister(a.Connections.Collectors()...)
	}
	return m
}

func (m *metrics) observe(method, route string, status int, took time.Duration) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // clients must not be able to create labels
	}
	m.durations.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// checks returns the results of the health checks.
func (a *API) checks() []queue.Check {
	events := queue.Check{Name: "events", Status: queue.OK}
	if a.Hub.Degraded() {
		events.Status, events.Detail = queue.Warning,
			"Redis is unavailable, so event streams lag by two seconds: start Redis, or check the network, redis_url and the log"
	}
	return append(a.Queue.Health(), events)
}

type liveAnswer struct {
	Body struct {
		Status string `json:"status" enum:"ok"`
	}
}

type readyAnswer struct {
	Status int
	Body   struct {
		Status string        `json:"status" enum:"ok,warning" doc:"warning: the server accepts jobs, but a check needs attention."`
		Checks []queue.Check `json:"checks" nullable:"false"`
	}
}

// addOperations adds the health checks and the metrics.
func (a *API) addOperations() {
	register(a, operation{
		id: "live", method: http.MethodGet, path: "/healthz", summary: "Check liveness", access: public,
		tag: "operations",
	}, func(context.Context, *struct{}) (*liveAnswer, error) {
		response := new(liveAnswer)
		response.Body.Status = "ok"
		return response, nil
	})
	register(a, operation{
		id: "ready", method: http.MethodGet, path: "/readyz", summary: "Check readiness",
		access: public, tag: "operations",
		description: "503 while the database is away or takes nothing, and while the server shuts down. What else is wrong is a warning.",
	}, func(context.Context, *struct{}) (*readyAnswer, error) { return a.ready() })
	exposition := promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError})
	a.router.Get("/metrics", func(w http.ResponseWriter, r *http.Request) {
		if err := a.Authenticate(r); err != nil {
			a.WriteProblem(w, r, err)
			return
		}
		exposition.ServeHTTP(w, r)
	})
}

// ready returns whether the server accepts jobs, from the latest results of the
// health checks.
func (a *API) ready() (*readyAnswer, error) {
	if a.draining.Err() != nil {
		return nil, problem.New("shutting-down", "the server is shutting down").RetryAfter(time.Second)
	}
	response := &readyAnswer{Status: http.StatusOK}
	response.Body.Status, response.Body.Checks = queue.OK, a.checks()
	var failing []schema.ProblemError
	for _, check := range response.Body.Checks {
		switch check.Status {
		case queue.Failing:
			failing = append(failing, schema.ProblemError{Location: check.Name, Message: check.Detail})
		case queue.Warning:
			response.Body.Status = queue.Warning
		}
	}
	if failing != nil {
		return nil, problem.New("unavailable", "the server cannot accept jobs now",
			failing...).RetryAfter(2 * time.Second)
	}
	return response, nil
}
