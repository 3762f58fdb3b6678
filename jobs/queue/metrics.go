package queue

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// metrics are the counters and histograms of this process.
type metrics struct {
	ended    *prometheus.CounterVec
	waits    *prometheus.HistogramVec
	runs     *prometheus.HistogramVec
	attempts *prometheus.CounterVec
}

func newMetrics(services *jobs.Registry) *metrics {
	durations := []float64{0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 1800, 7200}
	m := &metrics{
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coatcheck_jobs_ended_total", Help: "Jobs that ended in this process, by their final status.",
		}, []string{"service", "status"}),
		waits: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "coatcheck_job_wait_seconds",
			Help: "Queue time of the jobs that this process started, from when they were due.", Buckets: durations,
		}, []string{"service"}),
		runs: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "coatcheck_run_duration_seconds",
			Help:    "Duration of the runs in this process, by the status of their jobs after the run.",
			Buckets: durations,
		}, []string{"service", "status"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "coatcheck_callback_attempts_total", Help: "Callback attempts of this process by outcome: delivered, failed, or given_up (the last attempt failed; not for progress and tests).",
		}, []string{"outcome"}),
	}
	// Initialize the counters to 0: otherwise their first increment would not show up as a change.
	for s := range services.All() {
		for _, status := range []jobs.Status{jobs.Succeeded, jobs.Failed, jobs.Canceled, jobs.Expired} {
			m.ended.WithLabelValues(s.Name, string(status))
		}
		m.waits.WithLabelValues(s.Name)
	}
	for _, outcome := range []string{delivered, failed, givenUp} {
		m.attempts.WithLabelValues(outcome)
	}
	return m
}

const givenUp = "given_up"

// Metrics returns a registry with this process's Prometheus metrics and the given health checks.
// Callers may register more collectors.
func (q *Queue) Metrics(checks func() []Check) *prometheus.Registry {
	r := prometheus.NewRegistry()
	m := q.metrics
	r.MustRegister(m.ended, m.waits, m.runs, m.attempts, &stateCollector{q, checks},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// transited records a transition of a job from one status to another.
func (m *metrics) transited(from jobs.Status, j *jobs.Job, now store.Time) {
	if j.Done && j.Status != from {
		m.ended.WithLabelValues(j.Service, string(j.Status)).Inc()
	}
	if j.Status == jobs.Running && from != jobs.Running && now == *j.StartedAt { // first start
		due := j.CreatedAt
		if j.RunAt != nil {
			due = *j.RunAt
		}
		m.waits.WithLabelValues(j.Service).Observe(now.Sub(due.Time).Seconds())
	}
}

// ran records a finished run.
func (m *metrics) ran(service string, after jobs.Status, took time.Duration) {
	m.runs.WithLabelValues(service, string(after)).Observe(took.Seconds())
}

// attempted counts an attempt at a callback of an event. status is the delivery's status after the
// attempt. Progress and test callbacks are attempted only once, so they do not count as given up.
func (m *metrics) attempted(event, status string, result notify.Result) {
	switch {
	case result.Class == notify.Local:
	case status == delivered:
		m.attempts.WithLabelValues(delivered).Inc()
	case status == failed && event != jobs.JobProgress && event != CallbackTest:
		m.attempts.WithLabelValues(givenUp).Inc()
	default:
		m.attempts.WithLabelValues(failed).Inc()
	}
}

// A stateCollector reads the current state on each scrape.
type stateCollector struct {
	queue  *Queue
	checks func() []Check
}

var (
	depthDesc   = prometheus.NewDesc("coatcheck_jobs", "Jobs that have not ended.", []string{"status"}, nil)
	pendingDesc = prometheus.NewDesc("coatcheck_callbacks_pending",
		"Callbacks that are not delivered yet.", nil, nil)
	ageDesc = prometheus.NewDesc("coatcheck_queue_age_seconds",
		"Queue time of the longest-waiting job; 0 if none waits.", nil, nil)
	checkDesc = prometheus.NewDesc("coatcheck_check",
		"Status of a /readyz check: 0 ok, 1 warning, 2 failing.", []string{"check"}, nil)
	slotsDesc = prometheus.NewDesc("coatcheck_slots",
		"Maximum number of concurrent jobs in this process.", nil, nil)
	recoveredDesc = prometheus.NewDesc("coatcheck_jobs_recovered_total",
		"Jobs that this process recovered from lost runs.", nil, nil)
	abandonedDesc = prometheus.NewDesc("coatcheck_runs_abandoned_total",
		"Runs in this process that did not stop when canceled and were abandoned.", nil, nil)
	unresponsiveDesc = prometheus.NewDesc("coatcheck_runs_unresponsive",
		"Abandoned runs in this process that are still running.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{depthDesc, pendingDesc, ageDesc, checkDesc, slotsDesc, recoveredDesc, abandonedDesc, unresponsiveDesc} {
		ch <- desc
	}
}

// Collect implements [prometheus.Collector].
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if depth, err := c.queue.Depth(ctx); err == nil {
		for status, n := range depth {
			ch <- prometheus.MustNewConstMetric(depthDesc, prometheus.GaugeValue, float64(n), string(status))
		}
	} else {
		ch <- prometheus.NewInvalidMetric(depthDesc, err)
	}
	if oldest, err := c.queue.oldest(ctx); err == nil {
		age := 0.0
		if oldest != nil {
			age = max(0, time.Since(oldest.Time).Seconds())
		}
		ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, age)
	} else {
		ch <- prometheus.NewInvalidMetric(ageDesc, err)
	}
	if n, err := c.queue.pendingDeliveries(ctx); err == nil {
		ch <- prometheus.MustNewConstMetric(pendingDesc, prometheus.GaugeValue, float64(n))
	} else {
		ch <- prometheus.NewInvalidMetric(pendingDesc, err)
	}
	for _, check := range c.checks() {
		value := map[string]float64{OK: 0, Warning: 1, Failing: 2}[check.Status]
		ch <- prometheus.MustNewConstMetric(checkDesc, prometheus.GaugeValue, value, check.Name)
	}
	n := c.queue.Counters()
	ch <- prometheus.MustNewConstMetric(slotsDesc, prometheus.GaugeValue, float64(c.queue.Workers))
	ch <- prometheus.MustNewConstMetric(recoveredDesc, prometheus.CounterValue, float64(n.Recovered))
	ch <- prometheus.MustNewConstMetric(abandonedDesc, prometheus.CounterValue, float64(n.Abandoned))
	ch <- prometheus.MustNewConstMetric(unresponsiveDesc, prometheus.GaugeValue, float64(n.Unresponsive))
}
