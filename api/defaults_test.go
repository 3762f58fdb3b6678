package api_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

type clip struct {
	Start float64 `json:"start"`
	Speed float64 `json:"speed,omitempty" default:"1.5"`
}

type encodeInput struct {
	Format string   `json:"format,omitempty" default:"mp4"`
	Height *int     `json:"height,omitempty" default:"720"`
	CRF    int      `json:"crf,omitempty" default:"23" maximum:"51"`
	Codecs []string `json:"codecs,omitempty" default:"[\"h264\",\"aac\"]"`
	Intro  *clip    `json:"intro,omitempty"`
	Clips  []clip   `json:"clips,omitempty"`
}

// An absent property has its default when the service gets the input, and an explicit value wins.
func TestDefaults(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{services: func(r *jobs.Registry) {
			jobs.Add(r, jobs.Service{Name: "encode"}, func(_ context.Context, in encodeInput) (encodeInput, error) { return in, nil })
			jobs.Add(r, jobs.Service{
				Name: "declared", OutputSchema: json.RawMessage(`{}`),
				InputSchema: json.RawMessage(`{"type": "object", "properties": {
					"size": {"type": "integer", "default": 12345678901234567890},
					"page": {"type": "object", "properties": {"color": {"type": "string", "default": "<red>"}}}}}`),
			}, func(_ context.Context, in json.RawMessage) (json.RawMessage, error) { return in, nil })
		}})
		for _, tt := range []struct{ name, service, body, want string }{
			{"absent", "encode", `{"input": {}}`, `{"format":"mp4","height":720,"crf":23,"codecs":["h264","aac"]}`},
			{"null", "encode", `{"input": {"format": null, "codecs": null}}`, `{"format":"mp4","height":720,"crf":23,"codecs":["h264","aac"]}`},
			{
				"explicit", "encode", `{"input": {"format": "", "height": 0, "crf": 0, "codecs": [], "intro": {"start": 1, "speed": 0}}}`,
				`{"height":0,"intro":{"start":1}}`,
			},
			{
				"nested", "encode", `{"input": {"codecs": ["av1"], "intro": {"start": 1}, "clips": [{"start": 2}, {"start": 3, "speed": 4}]}}`,
				`{"format":"mp4","height":720,"crf":23,"codecs":["av1"],"intro":{"start":1,"speed":1.5},"clips":[{"start":2,"speed":1.5},{"start":3,"speed":4}]}`,
			},
			{
				"further step", "maths.add", `{"input": {"a": 3, "b": 4}, "then": [{"service": "encode", "input": {"crf": {"$output": ""}}}]}`,
				`{"format":"mp4","height":720,"crf":7,"codecs":["h264","aac"]}`,
			},
			{"declared", "declared", `{"input": {"page": {}}}`, `{"page":{"color":"<red>"},"size":12345678901234567890}`},
			{"declared, null", "declared", `{"input": {"size": null, "page": {"color": null}}}`, `{"page":{"color":"<red>"},"size":12345678901234567890}`},
		} {
			t.Run(tt.name, func(t *testing.T) {
				answer := f.do(t, "POST", "/v1/services/"+tt.service+"/jobs", tt.body, "Prefer: wait=30")
				if !strings.Contains(answer.body, `"output":`+tt.want+`,`) {
					t.Errorf("got %s, want output %s", answer.body, tt.want)
				}
			})
		}
	})
}
