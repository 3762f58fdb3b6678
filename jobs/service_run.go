package jobs

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"sync"
	"time"
)

// Run runs the service on an input and waits for it. If ctx ends and the service does not return
// within the grace period, or if reading its output or error takes longer than that, run abandons
// it: the result's returned channel is then set.
func (s *Service) Run(
	ctx context.Context, input json.RawMessage, grace time.Duration, panicked func(text string, stack []byte),
) Result {
	exited := Fail(CodeFailed, "the service ended its goroutine (runtime.Goexit) in place of returning")
	res := &exited
	done, returned := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		late := s.callRecovering(ctx, input, sync.OnceFunc(func() { close(returned) }), panicked)
		res = &late
	}()
	var why Result
	select {
	case <-done:
		return *res
	case <-returned:
		why = Fail(CodeFailed,
			"the service's output or error could not be read in %s: one of its methods does not return", grace)
	case <-ctx.Done():
		why = Fail(CodeFailed, "the service did not stop")
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return *res
	case <-timer.C:
		why.Returned = done
		return why
	}
}

// callRecovering calls the service and recovers from its panic. It calls returned when the service
// has returned or panicked.
func (s *Service) callRecovering(
	ctx context.Context, input json.RawMessage, returned func(), panicked func(text string, stack []byte),
) (res Result) {
	defer func() {
		if v := recover(); v != nil {
			stack := debug.Stack()
			returned()
			panicked(panicText(v), stack)
			res = Fail(codePanic, "the service panicked; the server's log says more")
		}
	}()
	return s.call(ctx, input, returned)
}
