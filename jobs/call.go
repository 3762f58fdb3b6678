package jobs

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"sync"
	"time"
)

// run runs the service on an input and waits for it. When the service is told
// to stop and does not, or its output or error can't be read, it is left behind
// after the grace: then the result's returned is set.
func (s *Service) run(ctx context.Context, input json.RawMessage, grace time.Duration, panicked func(text string, stack []byte)) result {
	exited := failing(codeFailed, "the service ended its goroutine (runtime.Goexit) in place of returning")
	res := &exited
	done, returned := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		late := s.survive(ctx, input, sync.OnceFunc(func() { close(returned) }), panicked)
		res = &late
	}()
	var why result
	select {
	case <-done:
		return *res
	case <-returned:
		why = failing(codeFailed, "the service's output or error could not be read in %s: one of its methods does not return", grace)
	case <-ctx.Done():
		why = failing(codeFailed, "the service did not stop")
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return *res
	case <-timer.C:
		why.returned = done
		return why
	}
}

// survive calls the service and survives its panic. It calls returned when the
// service has come to its end.
func (s *Service) survive(ctx context.Context, input json.RawMessage, returned func(), panicked func(text string, stack []byte)) (res result) {
	defer func() {
		if v := recover(); v != nil {
			stack := debug.Stack()
			returned()
			panicked(panicText(v), stack)
			res = failing(codePanic, "the service panicked; the server's log says more")
		}
	}()
	return s.call(ctx, input, returned)
}
