package command

import (
	"context"
	"encoding/json"

	"coatcheck/jobs"
)

// takeMessage reports what a program wrote to file descriptor 3: one JSON object on each
// line, with progress, log or output.
func takeMessage(ctx context.Context, line string) {
	var m struct {
		Progress *float64        `json:"progress"`
		Message  string          `json:"message"`
		Data     json.RawMessage `json:"data"`
		Log      *string         `json:"log"`
		Level    string          `json:"level"`
		Output   *string         `json:"output"`
	}
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		jobs.Warn(ctx, "file descriptor 3: expected a line of JSON such as {\"progress\": 40}, got %.200q", line)
		return
	}
	if m.Progress != nil {
		var data any
		if m.Data != nil {
			data = m.Data
		}
		jobs.ProgressData(ctx, *m.Progress, m.Message, data)
	}
	switch {
	case m.Log == nil:
	case m.Level == "warning":
		jobs.Warn(ctx, "%s", *m.Log)
	default:
		jobs.Log(ctx, "%s", *m.Log)
	}
	if m.Output != nil {
		jobs.Output(ctx, *m.Output)
	}
}
