package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A figure is a measurement in numbers, times in milliseconds.
type figure struct {
	Name     string  `json:"name"`
	Database string  `json:"database,omitempty"`
	Count    int64   `json:"count"`
	Rate     float64 `json:"rate"` // a second
	P50      float64 `json:"p50_ms"`
	P90      float64 `json:"p90_ms"`
	P99      float64 `json:"p99_ms"`
	P999     float64 `json:"p999_ms"`
	Max      float64 `json:"max_ms"`
	LagP99   float64 `json:"generator_lag_p99_ms"`
	// Passed are events in whose place a viewer who was late got a snapshot.
	Passed int64          `json:"passed_over,omitempty"`
	Errors map[string]int `json:"errors"`
	// CPU is what the server spends on each, and Memory what it has at the end;
	// 0 where that is not measured.
	CPU    float64 `json:"server_cpu_ms,omitempty"`
	Memory float64 `json:"server_memory_mb,omitempty"`
	// Made is how many calls were made, those of the warm-up too.
	Made int64 `json:"-"`
}

func (m *measurement) figure(name string) figure {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := func(h *hdrhistogram.Histogram, q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	return figure{
		Name: name, Count: m.latency.TotalCount(), Rate: float64(m.latency.TotalCount()) / m.took.Seconds(),
		P50: at(m.latency, 50), P90: at(m.latency, 90), P99: at(m.latency, 99), P999: at(m.latency, 99.9), Max: float64(m.latency.Max()) / 1000,
		LagP99: at(m.lag, 99), Made: m.made, Errors: maps.Clone(m.errors),
	}
}

// print prints a figure, and fails when there were errors.
func (b *bench) print(f figure) error {
	if b.json {
		if err := json.NewEncoder(b.Stdout).Encode(f); err != nil {
			return err
		}
	} else {
		if f.Database != "" {
			fmt.Fprintf(b.Stdout, "%-9s CPU %6.3f ms each  %5.0f MB  ", f.Database, f.CPU, f.Memory)
		}
		if f.P50 == 0 { // it has no latency
			fmt.Fprintf(b.Stdout, "%-12s %8d  %9.1f/s\n", f.Name, f.Count, f.Rate)
			return nil
		}
		fmt.Fprintf(b.Stdout, "%-12s %8d  %9.1f/s  p50 %8.2f ms  p90 %8.2f  p99 %8.2f  p99.9 %8.2f  max %8.2f  (generator late p99 %.2f)\n",
			f.Name, f.Count, f.Rate, f.P50, f.P90, f.P99, f.P999, f.Max, f.LagP99)
		if f.Passed > 0 {
			fmt.Fprintf(b.Stdout, "  %d events were passed over in snapshots, because a viewer was late\n", f.Passed)
		}
		for _, text := range slices.Sorted(maps.Keys(f.Errors)) {
			fmt.Fprintf(b.Stdout, "  %d × %s\n", f.Errors[text], text)
		}
	}
	if len(f.Errors) > 0 {
		return errors.New("there were errors")
	}
	return nil
}
