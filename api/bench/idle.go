package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An idleFigure is what viewers cost to whom nothing is said.
type idleFigure struct {
	Name      string  `json:"name"`
	Viewers   int     `json:"viewers"`
	Before    float64 `json:"server_bytes_before"`
	With      float64 `json:"server_bytes_with"`
	BytesEach float64 `json:"bytes_each"`
	CPU       float64 `json:"cpu_percent"` // of one core, while nothing happens
}

// idle measures the memory and the processor time of the server process for
// viewers of jobs that do not start. All that the process has grown since
// before the jobs were submitted counts.
func (e *eventBench) idle(ctx context.Context) error {
	before, err := e.usage(ctx)
	if err != nil {
		return err
	}
	f := idleFigure{Name: "idle", Viewers: e.viewers, Before: before["process_resident_memory_bytes"]}
	r := &eventRound{jobs: min(e.viewers, e.streams), viewers: e.viewers}
	err = r.run(ctx, e.bench, func(ctx context.Context) error {
		if err := sleep(ctx, e.warmUp); err != nil {
			return err
		}
		first, err := e.usage(ctx)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := sleep(ctx, e.duration); err != nil {
			return err
		}
		last, err := e.usage(ctx)
		if err != nil {
			return err
		}
		f.With = last["process_resident_memory_bytes"]
		f.BytesEach = (f.With - f.Before) / float64(e.viewers)
		f.CPU = 100 * (last["process_cpu_seconds_total"] - first["process_cpu_seconds_total"]) / time.Since(start).Seconds()
		return nil
	})
	if err != nil {
		return err
	}
	if e.json {
		return json.NewEncoder(e.Stdout).Encode(f)
	}
	_, err = fmt.Fprintf(e.Stdout, "%-12s %8d  %9.1f KB each (the server has %.1f MB with them, %.1f MB before)  CPU %.1f %% of a core\n",
		f.Name, f.Viewers, f.BytesEach/1000, f.With/1e6, f.Before/1e6, f.CPU)
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// usage returns what the server says of its own process.
func (b *bench) usage(ctx context.Context) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.client.URL+"/metrics", http.NoBody)
	if err != nil {
		return nil, err
	}
	if credentials := b.client.Authorization(); credentials != "" {
		req.Header.Set("Authorization", credentials)
	}
	resp, err := b.client.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	usage := make(map[string]float64)
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, text, ok := strings.Cut(lines.Text(), " "); ok && strings.HasPrefix(name, "process_") {
			if value, err := strconv.ParseFloat(text, 64); err == nil {
				usage[name] = value
			}
		}
	}
	if usage["process_resident_memory_bytes"] == 0 {
		return nil, errors.New("the server does not say in /metrics how much memory it has; an admin's credentials may help")
	}
	return usage, nil
}
