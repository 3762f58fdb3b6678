package notify

import (
	"context"
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"
)

// A Timing contains the milliseconds from the start of an attempt to each point; 0 for a point that
// was not reached.
type Timing struct {
	DNS       float64 `json:"dns_ms" doc:"Until the name was looked up."`
	Connect   float64 `json:"connect_ms" doc:"Until there was a connection."`
	TLS       float64 `json:"tls_ms" doc:"Until the TLS handshake was over."`
	FirstByte float64 `json:"first_byte_ms" doc:"Until the answer began."`
	Total     float64 `json:"total_ms"`
}

// A timer records a Timing. A connection may still be established, for other requests, after the
// request that asked for it is over.
type timer struct {
	mu     sync.Mutex // guards timing and over
	timing Timing
	over   bool
}

// trace returns a context whose requests are timed.
func (t *timer) trace(ctx context.Context, start time.Time) context.Context {
	set := func(field *float64) {
		t.mu.Lock()
		defer t.mu.Unlock()
		if !t.over {
			*field = milliseconds(time.Since(start))
		}
	}
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSDone:              func(httptrace.DNSDoneInfo) { set(&t.timing.DNS) },
		ConnectDone:          func(string, string, error) { set(&t.timing.Connect) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { set(&t.timing.TLS) },
		GotFirstResponseByte: func() { set(&t.timing.FirstByte) },
	})
}

// stop returns the timing of a finished request.
func (t *timer) stop(start time.Time) Timing {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	t.timing.Total = milliseconds(time.Since(start))
	return t.timing
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
