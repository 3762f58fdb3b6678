package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// shouted is a value that encodes itself.
type shouted string

func (s shouted) MarshalJSON() ([]byte, error) { return json.Marshal(string(s)) }

// Outputs, progress, logs and errors reach callers as they are written: JSON that escapes "<" is
// ugly wherever people look at it.
func TestJSONIsNotEscapedForHTML(t *testing.T) {
	const text = "<b>A & B</b>"
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{services: func(r *jobs.Registry) {
			jobs.Add(r, jobs.Service{Name: "html", MaxAttempts: 1}, func(ctx context.Context, in struct {
				Fail bool `json:"fail,omitempty"`
			},
			) (map[string]any, error) {
				jobs.ProgressData(ctx, 50, text, map[string]string{"data": text})
				jobs.Log(ctx, text)
				jobs.Output(ctx, text)
				if in.Fail {
					return nil, errors.New(text)
				}
				return map[string]any{"plain": text, "own": shouted(text), "raw": json.RawMessage(`"\u003cb>A \u0026 B</b>"`)}, nil
			})
		}})
		job := f.submit(t, "html", `{"input": {}}`, "Prefer: wait=30")
		failed := f.submit(t, "html", `{"input": {"fail": true}}`, "Prefer: wait=30")
		for _, tt := range []struct {
			name, path string
			headers    []string
			times      int
		}{
			{"job", job.StatusURL, nil, 5},
			{"failed", failed.StatusURL, nil, 3},
			{"result", job.ResultURL, nil, 3},
			{"problem", failed.ResultURL, nil, 1},
			{"events", job.EventsURL + "?after=1-0", nil, 3},
			{"NDJSON", job.EventsURL + "?after=1-0", []string{"Accept: application/x-ndjson"}, 3},
		} {
			t.Run(tt.name, func(t *testing.T) {
				got := f.do(t, "GET", tt.path, "", tt.headers...)
				if strings.Count(got.body, text) < tt.times || strings.Contains(got.body, `\u003c`) || strings.Contains(got.body, `\u0026`) {
					t.Errorf("got %s, want %d times %s", got.body, tt.times, text)
				}
			})
		}
	})
}
