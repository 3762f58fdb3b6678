package bench

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"coatcheck/jobs"
)

// ServiceName is the name of the service whose events `coatcheck bench events` measures.
const ServiceName = "bench.events"

// Register adds the service to a registry.
func Register(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: ServiceName, Summary: "Say something by the clock, to be measured.", Timeout: 2 * time.Hour}, tick)
}

type tickInput struct {
	Rate    float64 `json:"rate" minimum:"0.1" maximum:"1000" doc:"Events a second."`
	Seconds float64 `json:"seconds" minimum:"0" maximum:"3600" doc:"For how long."`
	Bytes   int     `json:"bytes,omitempty" minimum:"0" maximum:"15000" doc:"How many bytes to add to each event."`
}

// tick says lines by the clock, each with its number and the time to the
// nanosecond, and returns how many. Unlike progress, lines are never thinned
// out. It begins at a time of its own, so that many jobs do not speak at once.
func tick(ctx context.Context, in tickInput) (int, error) {
	interval := time.Duration(float64(time.Second) / in.Rate)
	padding := strings.Repeat(".", in.Bytes)
	begin := time.Now().Add(rand.N(interval)) //nolint:gosec // it keeps no secret
	count := int(in.Seconds * in.Rate)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := range count {
		timer.Reset(time.Until(begin.Add(time.Duration(n) * interval)))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
		jobs.Log(ctx, "%d %d %s", n, time.Now().UnixNano(), padding)
	}
	return count, nil
}

// parseTick returns the number and the time in the data of an event that tick
// said.
func parseTick(data []byte) (n int, at time.Time, err error) {
	_, message, _ := bytes.Cut(data, []byte(`"message":"`))
	number, rest, _ := bytes.Cut(message, []byte(" "))
	nano, _, _ := bytes.Cut(rest, []byte(" "))
	n, err = strconv.Atoi(string(number))
	if err != nil {
		return 0, at, fmt.Errorf("expected what %s says, got %.100q", ServiceName, data)
	}
	said, err := strconv.ParseInt(string(nano), 10, 64)
	return n, time.Unix(0, said), err
}
