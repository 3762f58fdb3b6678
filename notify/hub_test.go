package notify_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"coatcheck/jobs/jobstest"
	"coatcheck/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var discard = slog.New(slog.DiscardHandler)

// eachHub runs the test on a hub in this process and on two that share a
// Redis: what is published at one is watched at the other.
func eachHub(t *testing.T, test func(t *testing.T, publisher, hub *notify.Hub)) {
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		h := notify.NewHub(discard)
		t.Cleanup(h.Close)
		test(t, h, h)
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		redisURL, prefix := jobstest.RedisURL(t), "test-"+rand.Text()
		test(t, redisHub(t, redisURL, prefix), redisHub(t, redisURL, prefix))
	})
}

func redisHub(t *testing.T, redisURL, prefix string) *notify.Hub {
	t.Helper()
	h, err := notify.NewRedisHub(redisURL, prefix, discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func id(version, n uint64) notify.ID { return notify.ID{Version: version, N: n} }

// publish publishes the nth event of version 1 of the topic "job", which follows the one before.
func publish(t *testing.T, h *notify.Hub, n uint64) {
	t.Helper()
	e := notify.Event{ID: id(1, n), Name: "progress", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
	if n > 1 {
		e.Prev = id(1, n-1)
	}
	if err := h.Publish("job", e); err != nil {
		t.Fatal(err)
	}
}

func subscribe(t *testing.T, h *notify.Hub, topic string) *notify.Subscription {
	t.Helper()
	s, err := h.Subscribe(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// take waits for events up to the one wanted and returns their counters.
func take(t *testing.T, s *notify.Subscription, last uint64) (got []uint64, gap bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for len(got) == 0 || got[len(got)-1] < last {
		events, gap, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("after %v: %v", got, err)
		}
		if gap {
			return got, true
		}
		for _, e := range events {
			got = append(got, e.ID.N)
		}
	}
	return got, false
}

func TestHub(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		live := subscribe(t, hub, "job")
		defer live.Close()
		live.Start(id(1, 0))
		for n := range uint64(3) {
			publish(t, publisher, n+1)
		}
		if got, gap := take(t, live, 3); gap || fmt.Sprint(got) != "[1 2 3]" {
			t.Errorf("live: %v, gap %t", got, gap)
		}

		late := subscribe(t, hub, "job")
		defer late.Close()
		if !late.Resume(id(1, 1)) {
			t.Fatal("can't resume after an event that is in the log")
		}
		publish(t, publisher, 4)
		if got, gap := take(t, late, 4); gap || fmt.Sprint(got) != "[2 3 4]" {
			t.Errorf("resumed: %v, gap %t", got, gap)
		}
		for _, unknown := range []notify.ID{id(1, 99), id(0, 1), id(2, 0)} {
			if late.Resume(unknown) {
				t.Errorf("resumed after %s, which never was", unknown)
			}
		}

		// Who is no longer newer has nothing to say.
		for _, old := range []notify.ID{id(1, 4), id(1, 2), id(0, 9)} {
			if err := publisher.Publish("job", notify.Event{ID: old, Name: "progress", Data: []byte("{}")}); !errors.Is(err, notify.ErrStale) {
				t.Errorf("publish %s: %v", old, err)
			}
		}

		// Another topic is another topic.
		if other := subscribe(t, hub, "other"); other.Resume(id(1, 1)) {
			t.Error("resumed on another topic")
		} else {
			other.Close()
		}
	})
}

// An event that says it follows one that nobody has seen shows as a gap.
func TestGap(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		s := subscribe(t, hub, "job")
		defer s.Close()
		s.Start(id(1, 0))
		publish(t, publisher, 1)
		take(t, s, 1)
		publish(t, publisher, 3)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if events, gap, err := s.Next(ctx); !gap || err != nil {
			t.Fatalf("events %v, gap %t, %v", events, gap, err)
		}
		if got := s.Start(id(1, 2)); got != id(1, 2) {
			t.Errorf("snapshot has id %s, want 1-2", got)
		}
		if got, gap := take(t, s, 3); gap || fmt.Sprint(got) != "[3]" {
			t.Errorf("after the snapshot: %v, gap %t", got, gap)
		}
	})
}

// What the table knows and the log has lost shows as a gap too.
func TestBehind(t *testing.T) {
	eachHub(t, func(t *testing.T, _, hub *notify.Hub) {
		s := subscribe(t, hub, "job")
		defer s.Close()
		s.Start(id(1, 0))
		hub.Behind("job", id(2, 0))
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, gap, err := s.Next(ctx); !gap || err != nil {
			t.Fatalf("gap %t, %v", gap, err)
		}
	})
}

// Who reads too slowly gets a gap, not the server's memory.
func TestSlowViewer(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		fast, slow := subscribe(t, hub, "job"), subscribe(t, hub, "job")
		defer fast.Close()
		defer slow.Close()
		fast.Start(id(1, 0))
		publish(t, publisher, 1)
		take(t, fast, 1)
		if !slow.Resume(id(1, 1)) {
			t.Fatal("can't resume")
		}
		for n := range uint64(1000) {
			publish(t, publisher, n+2)
		}
		for last := uint64(0); last < 1001; {
			got, gap := take(t, fast, 1001)
			if gap {
				fast.Start(id(1, 1000))
				continue
			}
			last = got[len(got)-1]
		}
		if got, gap := take(t, slow, 1001); !gap || len(got) > 0 {
			t.Errorf("%d events, gap %t", len(got), gap)
		}
	})
}

// Viewers that come and go at any time see each event once, in order.
func TestManyViewers(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		const last = 200
		keep := subscribe(t, hub, "job") // so that the topic stays watched
		defer keep.Close()
		keep.Start(id(1, 0))
		publish(t, publisher, 1)
		take(t, keep, 1)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				after := uint64(1)
				for after < last {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					s, err := hub.Subscribe(ctx, "job")
					if err != nil {
						t.Error(err)
						cancel()
						return
					}
					if !s.Resume(id(1, after)) {
						t.Errorf("can't resume after %d", after)
					}
					for range 1 + mathrand.N(20) {
						events, gap, err := s.Next(ctx)
						if gap || err != nil {
							t.Errorf("after %d: gap %t, %v", after, gap, err)
							break
						}
						for _, e := range events {
							if e.ID.N != after+1 {
								t.Errorf("%d follows %d", e.ID.N, after)
							}
							after = e.ID.N
						}
						if after >= last {
							break
						}
					}
					s.Close()
					cancel()
					if t.Failed() {
						return
					}
				}
			})
		}
		for n := range uint64(last - 1) {
			publish(t, publisher, n+2)
		}
		wg.Wait()
	})
}

func TestClose(t *testing.T) {
	eachHub(t, func(t *testing.T, _, hub *notify.Hub) {
		s := subscribe(t, hub, "job")
		closed := make(chan error)
		go func() {
			_, _, err := s.Next(context.Background())
			closed <- err
		}()
		hub.Close()
		if err := <-closed; !errors.Is(err, notify.ErrClosed) {
			t.Errorf("Next: %v", err)
		}
		s.Close()
		if _, err := hub.Subscribe(t.Context(), "job"); !errors.Is(err, notify.ErrClosed) {
			t.Errorf("Subscribe: %v", err)
		}
		hub.Close() // again
	})
}

// A waiting viewer costs nothing until something happens.
func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := notify.NewHub(discard)
		defer h.Close()
		s := subscribe(t, h, "job")
		defer s.Close()
		s.Start(id(1, 0))
		go func() {
			time.Sleep(time.Hour)
			publish(t, h, 1)
		}()
		start := time.Now()
		events, _, err := s.Next(t.Context())
		if err != nil || len(events) != 1 || time.Since(start) != time.Hour {
			t.Errorf("%v, %v after %s", events, err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, _, err := s.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"1-0", "", "-", "1", "1-", "-1-2", "18446744073709551615-0", "18446744073709551616-0", "01-0", "1-0-0", "٣-1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := notify.ParseID(s)
		if err != nil {
			return
		}
		if again, err := notify.ParseID(got.String()); err != nil || again != got || again.Compare(got) != 0 {
			t.Errorf("%q is %v, whose text is %v, %v", s, got, again, err)
		}
	})
}

// A topic with large events pushes out its own old events, and no others'.
func TestLargeEvents(t *testing.T) {
	eachHub(t, func(t *testing.T, publisher, hub *notify.Hub) {
		for n := uint64(1); n <= 3; n++ {
			publish(t, publisher, n)
		}
		const large = 200
		for n := uint64(1); n <= large; n++ {
			e := notify.Event{ID: id(1, n), Prev: id(1, n-1), Name: "output", Data: make([]byte, 256<<10)}
			if err := publisher.Publish("large", e); err != nil { // on a busy machine; it is appended later
				jobstest.Until(t, "Redis that accepts events", func() bool { return !publisher.Degraded() })
			}
		}
		resumes := func(topic string, at notify.ID) bool {
			t.Helper()
			sub, err := hub.Subscribe(t.Context(), topic)
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Close()
			return sub.Resume(at)
		}
		if !resumes("job", id(1, 1)) {
			t.Error("the events of another topic are gone")
		}
		if !resumes("large", id(1, large-1)) {
			t.Error("the newest large events are gone")
		}
		if resumes("large", id(1, large-100)) {
			t.Error("25 MiB of one topic's events are kept")
		}
	})
}
