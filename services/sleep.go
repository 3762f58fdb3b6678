package services

import (
	"context"
	"fmt"
	"time"

	"coatcheck/jobs"
)

// The tags define the valid input. Other input is rejected before a job is created.
type sleepInput struct {
	Seconds float64 `json:"seconds" minimum:"0" maximum:"3600" doc:"How long to sleep." example:"10"`
	Name    string  `json:"name,omitempty" maxLength:"100" default:"world" doc:"Whom to greet at the end."`
}

// sleep waits for the given number of seconds, reports its progress, and returns a
// greeting. Callers can read its log lines.
func sleep(ctx context.Context, in sleepInput) (string, error) {
	const steps = 20
	total := time.Duration(in.Seconds * float64(time.Second))
	jobs.Log(ctx, "sleeping for %s", total)
	for i := range steps {
		select {
		case <-time.After(total / steps):
			done := i + 1
			jobs.Progress(ctx, 100*float64(done)/steps, fmt.Sprintf("slept %s of %s", (total*time.Duration(done)/steps).Round(time.Millisecond), total))
		case <-ctx.Done(): // canceled, timed out, or the server is stopping
			return "", ctx.Err()
		}
	}
	return "hello, " + in.Name, nil
}
