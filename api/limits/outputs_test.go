package limits

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"coatcheck/api/conn"
	"coatcheck/api/problem"
)

// Answers with large outputs take turns; an address has only a share of them.
func TestLargeResponsesAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewOutputs()
		var leave []func()
		enter := func(address string) bool {
			done, err := q.Acquire(t.Context(), address, nil)
			if err != nil {
				p, ok := errors.AsType[*problem.Problem](err)
				if !ok || p.Code != "unavailable" || p.GetHeaders().Get("Retry-After") == "" {
					t.Errorf("got %v", err)
				}
				return false
			}
			leave = append(leave, done)
			return true
		}
		for n := range maxOutputsPerAddress + 1 {
			if got, want := enter("192.0.2.1"), n < maxOutputsPerAddress; got != want {
				t.Errorf("answer %d of an address: %t", n+1, got)
			}
		}
		go func() {
			time.Sleep(time.Second)
			leave[0]()
		}()
		start := time.Now()
		if !enter("192.0.2.1") || time.Since(start) != time.Second {
			t.Errorf("the turn of an answer over the share of its address came after %s", time.Since(start))
		}
		leave = leave[1:]
		for range MaxOutputs - maxOutputsPerAddress {
			if !enter("") {
				t.Error("no turn while there are some")
			}
		}
		start = time.Now()
		if enter("192.0.2.2") || time.Since(start) != largeTimeout {
			t.Errorf("refused after %s, want %s", time.Since(start), largeTimeout)
		}
		go func() {
			time.Sleep(time.Second)
			leave[0]()
		}()
		if start = time.Now(); !enter("192.0.2.2") || time.Since(start) != time.Second {
			t.Errorf("its turn came after %s", time.Since(start))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := q.Acquire(ctx, "", nil); err == nil {
			t.Error("a turn for a caller who has left")
		}
		for _, done := range leave[1:] {
			done()
		}
		if len(q.permits) != 0 || len(q.addresses) != 0 {
			t.Errorf("%d turns and %v are left", len(q.permits), q.addresses)
		}
	})
}

// Whoever reads a large output too slowly loses its turn when others wait.
func TestSlowReadersAreDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewOutputs()
		ends := make(map[net.Conn]func())
		enter := func(address string) (took time.Duration) {
			server, client := net.Pipe()
			start := time.Now()
			leave, err := q.Acquire(t.Context(), address, server)
			if err != nil {
				t.Fatal(err)
			}
			took = time.Since(start)
			gone := make(chan struct{})
			go func() { // the answer ends when its connection does
				defer close(gone)
				client.Read(make([]byte, 1))
				leave()
			}()
			ends[server] = func() { server.Close(); <-gone }
			return took
		}
		for n := range MaxOutputs {
			enter([]string{"192.0.2.1", "192.0.2.2"}[n%2])
			time.Sleep(time.Millisecond)
		}
		if took := enter("192.0.2.3"); took < conn.SlowAfter-closeSlowestAfter || took > conn.SlowAfter+closeSlowestAfter {
			t.Errorf("a turn came after %s, want when the slowest was too slow", took)
		}
		if took := enter("192.0.2.1"); took != closeSlowestAfter && took != 0 {
			t.Errorf("the next turn came after %s", took)
		}
		for _, end := range ends {
			end()
		}
		synctest.Wait()
		if len(q.permits) != 0 || len(q.addresses) != 0 || len(q.active) != 0 {
			t.Errorf("%d turns, %v and %v are left", len(q.permits), q.addresses, q.active)
		}
	})
}
