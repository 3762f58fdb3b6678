// Package bench puts load on a server and measures it as its callers see it.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"coatcheck/api/client"
	"coatcheck/jobs"
)

// An Env is what the commands need of the program that offers them.
type Env struct {
	Stdout, Stderr io.Writer
	// Terminal means that standard error is a terminal, on which progress is shown.
	Terminal bool
	// NoArguments refuses arguments.
	NoArguments cobra.PositionalArgs
	// AddURLFlag adds the flag with the server's URL.
	AddURLFlag func(f *pflag.FlagSet, to *string)
	// NewClient returns a client of the server at a URL.
	NewClient func(url string) (*client.Client, error)
	// CredentialsHelp describes where the client's credentials come from.
	CredentialsHelp string
	// Databases returns the URLs of PostgreSQL and Redis that the environment
	// configures; "" for none.
	Databases func() (postgres, redis string, err error)
	// Variables are the names of the environment variables that configure a server.
	Variables []string
}

// A bench puts load on a server and measures it as callers see it.
type bench struct {
	*Env
	client           *client.Client
	server           string
	callers          int
	rate             float64 // 0: as fast as the callers get answers
	warmUp, duration time.Duration
	service, input   string
	json             bool
}

// MaxCallers bounds the number of concurrent calls.
const MaxCallers = 10_000

// prepare checks what was asked for and makes the client.
func (b *bench) prepare() (err error) {
	if b.callers < 1 || b.callers > MaxCallers {
		return client.BadArgument(fmt.Errorf("--callers: expected 1 to %d", MaxCallers))
	}
	if b.rate < 0 || b.rate > 1e6 {
		return client.BadArgument(errors.New("--rate: expected 0 to 1000000 a second"))
	}
	if b.duration <= 0 || b.warmUp < 0 {
		return client.BadArgument(errors.New("--duration, --warm-up: expected times such as 10s"))
	}
	if !json.Valid([]byte(b.input)) {
		return client.BadArgument(errors.New("--input: expected JSON"))
	}
	b.client, err = b.NewClient(b.server)
	return err
}

// submit submits a job; more are members beside the input, or in its place.
func (b *bench) submit(ctx context.Context, service string, more map[string]any) (job jobs.Job, err error) {
	submission := map[string]any{"input": json.RawMessage(b.input)}
	maps.Copy(submission, more)
	body, err := json.Marshal(submission)
	if err != nil {
		return job, err
	}
	_, err = b.client.Call(ctx, http.MethodPost, b.client.ServiceURL(service)+"/jobs", nil, body, &job)
	return job, err
}

// each calls do with 0 to n-1, as many at once as there are callers, until one
// fails.
func (b *bench) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(b.callers, n) {
		wg.Go(func() {
			for i := range next {
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	wg.Wait()
	return context.Cause(ctx)
}
