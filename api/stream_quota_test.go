package api

import (
	"net/http/httptest"
	"testing"
	"time"

	"coatcheck/api/limits"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// A stream that panics releases its quotas.
func TestStreamPanics(t *testing.T) {
	t.Parallel()
	a := &API{streams: limits.NewStreams(limits.StreamLimits{PerAddress: 1})} // without a hub
	s := a.newStream(new(RequestInfo), "192.0.2.1:1")
	s.cursors = []*streamCursor{{id: "job"}}
	if limit := a.streams.Acquire(s); limit != "" {
		t.Fatal(limit)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		s.body(eventStream)(humachi.NewContext(new(huma.Operation), httptest.NewRequest("GET", "/", nil), httptest.NewRecorder()))
	}()
	if n := a.streams.Open(); n != 0 {
		t.Errorf("%d streams", n)
	}
	if limit := a.streams.Acquire(s); limit != "" {
		t.Errorf("the limit %s is still reached", limit)
	}
	a.streams.Release(s)
	a.streams.Drain()
	a.streams.Wait(t.Context())
}

// Who must leave earlier need not care who says so first.
func TestStreamEndBy(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, times := range [][]time.Duration{{time.Minute, 0}, {0, time.Minute}} {
		s := new(API).newStream(new(RequestInfo), "")
		for _, d := range times {
			s.EndBy(now.Add(d))
		}
		if at := s.deadline.Load(); at != now.UnixNano() {
			t.Errorf("%v: leaves at %d", times, at)
		}
	}
}
