package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"coatcheck/jobs"
	"coatcheck/services"
)

// torture is the program with services that no user should have.
func torture() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	p := &program{os.Getenv, os.Stdin, os.Stdout, os.Stderr, func(r *jobs.Registry) {
		services.Register(r)
		jobs.Add(r, jobs.Service{Name: "torture", Summary: "Leave a trace."}, suffer)
		jobs.Add(r, jobs.Service{Name: "keep", Summary: "Keep the environment."}, keepEnvironment)
		jobs.Add(r, jobs.Service{Name: "poison", Summary: "Kill the process."}, poison)
	}}
	os.Exit(p.run(ctx, os.Args[1:]))
}

type sufferInput struct {
	MS   int    `json:"ms"`
	Mode string `json:"mode" enum:"ok,flaky,fail,panic,deaf"`
}

// suffer takes a while, and leaves a trace of each run in a file of its
// process.
func suffer(ctx context.Context, in sufferInput) (string, error) {
	name := filepath.Join(os.Getenv("TORTURE_EFFECTS"), strconv.Itoa(os.Getpid()))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return "", err
	}
	defer f.Close()
	run := jobs.RunID(ctx)
	if _, err := fmt.Fprintf(f, "%s %s\n", jobs.JobID(ctx), run); err != nil {
		return "", err
	}
	for i := range 10 {
		select {
		case <-time.After(time.Duration(in.MS) * time.Millisecond / 10):
			jobs.Progress(ctx, float64(10*i), "still here")
		case <-ctx.Done():
			if in.Mode != "deaf" {
				return "", ctx.Err()
			}
			time.Sleep(time.Duration(in.MS) * time.Millisecond / 10)
		}
	}
	switch {
	case in.Mode == "fail", in.Mode == "flaky" && rand.N(2) == 0:
		return "", errors.New("as asked")
	case in.Mode == "panic":
		panic("as asked")
	}
	return run, nil
}
