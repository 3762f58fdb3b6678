package watch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"coatcheck/api/client/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pipeListener accepts the connections of dial, within this process, so
// that time is virtual in a synctest bubble.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-l.closed:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve returns a stream from a handler that is given the number of each
// request, from 1. In a bubble it takes no time.
func serve(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request)) *watch.Stream {
	t.Helper()
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	n := 0
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n++
		handle(n, w, r)
	})}
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		<-done
	})
	return &watch.Stream{URL: "http://server/", Client: &http.Client{Transport: transport}}
}

// stream begins a stream and writes frames.
func stream(w http.ResponseWriter, frames ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for _, f := range frames {
		io.WriteString(w, f)
	}
	http.NewResponseController(w).Flush()
}

// numbered is the frame of an event as the server writes it: its id is last.
func numbered(n int) string {
	return fmt.Sprintf("event: number\ndata: {\"n\":%d}\nid: 1-%d\n\n", n, n)
}

// collect returns the data of all events and what ended them.
func collect(ctx context.Context, s *watch.Stream) (data []string, err error) {
	for e, err := range s.Events(ctx) {
		if err != nil {
			return data, err
		}
		data = append(data, string(e.Data))
	}
	return data, nil
}

// A stream that ends cleanly goes on where it was, when the server says so;
// 204 ends it for good.
func TestCleanEndAnd204(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			at = append(at, time.Since(start))
			if want := []string{"", "1-1", "1-2"}[n-1]; r.Header.Get("Last-Event-ID") != want {
				t.Errorf("request %d goes on after %q, want %q", n, r.Header.Get("Last-Event-ID"), want)
			}
			if n == 3 {
				w.WriteHeader(http.StatusNoContent)
				return
			}
			stream(w, "retry: 8000\n\n", numbered(n))
		})
		data, err := collect(t.Context(), s)
		if err != nil || fmt.Sprint(data) != `[{"n":1} {"n":2}]` {
			t.Errorf("got %v, %v", data, err)
		}
		for i := 1; i < len(at); i++ {
			if wait := at[i] - at[i-1]; wait < 8*time.Second || wait > 10*time.Second {
				t.Errorf("came back after %v, the server said 8 s", wait)
			}
		}
		if len(at) != 3 {
			t.Errorf("%d requests, want 3", len(at))
		}
	})
}

// The client of r3labs stops for good 15 minutes after it began.
func TestNoEndAfter15Minutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			switch age := time.Since(start); {
			case n == 1:
				stream(w)
				for range 80 { // 20 minutes
					time.Sleep(15 * time.Second)
					stream(w, "event: ping\ndata: {}\n\n")
				}
				stream(w, numbered(1))
				panic(http.ErrAbortHandler)
			case age < time.Hour:
				w.WriteHeader(http.StatusBadGateway)
			default:
				stream(w, numbered(2))
			}
		})
		var got []string
		var waits []time.Duration
		s.Lost = func(_ error, wait time.Duration) error { waits = append(waits, wait); return nil }
		for e, err := range s.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Name == "number" {
				got = append(got, e.ID)
			}
			if e.ID == "1-2" {
				break
			}
		}
		if fmt.Sprint(got) != "[1-1 1-2]" {
			t.Errorf("got %v", got)
		}
		if most := slices.Max(waits); waits[0] > 1250*time.Millisecond || most < 30*time.Second || most > 38*time.Second {
			t.Errorf("waits are %v, want them to grow from 1 s to 30 s and a quarter", waits)
		}
	})
}

func TestLargeEvents(t *testing.T) {
	large := strings.Repeat("x", 8<<20)
	s := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
		if n > 1 {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		stream(w, "retry: 1\n\n", "data: "+large+"\nid: 1-1\n\n", numbered(2))
	})
	data, err := collect(t.Context(), s)
	if err != nil || len(data) != 2 || data[0] != large {
		t.Errorf("%d events, %v", len(data), err)
	}
	s = serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		stream(w, "data: ")
		for range watch.MaxEvent/len(large) + 1 {
			stream(w, large)
		}
	})
	if _, err := collect(t.Context(), s); !errors.Is(err, watch.ErrTooLarge) {
		t.Errorf("an event without an end: %v", err)
	}
}

// Whatever is cut off in the middle of an event comes again, whole, and
// nothing comes twice.
func TestCutOff(t *testing.T) {
	for name, frame := range map[string]func(int) string{
		"id last":  numbered,
		"id first": func(n int) string { return fmt.Sprintf("id: 1-%d\ndata: {\"n\":%d}\n\n", n, n) },
		"CRLF":     func(n int) string { return strings.ReplaceAll(numbered(n), "\n", "\r\n") },
		"CR":       func(n int) string { return strings.ReplaceAll(numbered(n), "\n", "\r") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const total = 300
				cut := 0
				s := serve(t, func(_ int, w http.ResponseWriter, r *http.Request) {
					last := 0
					fmt.Sscanf(r.Header.Get("Last-Event-ID"), "1-%d", &last)
					switch {
					case last == total:
						w.WriteHeader(http.StatusNoContent)
						return
					case rand.N(7) == 0:
						w.WriteHeader(http.StatusServiceUnavailable)
						return
					}
					for i := last + 1; i <= total; i++ {
						f := frame(i)
						switch rand.N(8) {
						case 0:
							cut++
							stream(w, f[:rand.N(len(f))])
							panic(http.ErrAbortHandler)
						case 1:
							cut++
							stream(w, f[:rand.N(len(f))])
							return
						}
						stream(w, f)
					}
				})
				var want []string
				for n := range total {
					want = append(want, fmt.Sprintf(`{"n":%d}`, n+1))
				}
				data, err := collect(t.Context(), s)
				if err != nil || !slices.Equal(data, want) {
					t.Errorf("got %v, %v", data, err)
				}
				if cut < total/20 {
					t.Errorf("only %d cuts", cut)
				}
			})
		})
	}
}

// A connection over which nothing comes is given up after two missed pings,
// not one.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
			if n == 1 {
				stream(w, numbered(1))
				time.Sleep(30 * time.Second)
				stream(w, "event: ping\ndata: {}\n\n")
				<-r.Context().Done() // the client has left
				return
			}
			stream(w, numbered(2))
		})
		var lost error
		s.Lost = func(err error, _ time.Duration) error { lost = err; return nil }
		for e, err := range s.Events(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if e.ID == "1-1" && e.Name == "number" {
				time.Sleep(time.Hour) // a slow caller is no silent server
				start = time.Now()
			}
			if e.ID == "1-2" {
				break
			}
		}
		if took := time.Since(start); took < watch.DefaultIdle || took > watch.DefaultIdle+5*time.Second {
			t.Errorf("came back after %v, want %v", took, watch.DefaultIdle)
		}
		if lost == nil || !strings.Contains(lost.Error(), "silent") {
			t.Errorf("lost: %v", lost)
		}
	})
}

func TestLeaving(t *testing.T) {
	hold := func(_ int, w http.ResponseWriter, r *http.Request) {
		stream(w, numbered(1))
		<-r.Context().Done()
	}
	t.Run("caller has seen enough", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			for range serve(t, hold).Events(t.Context()) {
				break
			}
			if took := time.Since(start); took > 0 {
				t.Errorf("took %v", took)
			}
		})
	})
	for name, handle := range map[string]func(int, http.ResponseWriter, *http.Request){
		"canceled in the stream":       hold,
		"canceled before the answer":   func(_ int, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"canceled while it waits":      func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"canceled after the clean end": func(_ int, w http.ResponseWriter, _ *http.Request) { stream(w, "retry: 100000\n\n", numbered(1)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
				defer cancel()
				start := time.Now()
				if _, err := collect(ctx, serve(t, handle)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took > 2600*time.Millisecond {
					t.Errorf("took %v more than it should", took-2500*time.Millisecond)
				}
			})
		})
	}
}

// What another try would not mend ends the events; the rest is tried again,
// when the server says.
func TestRefusals(t *testing.T) {
	for name, test := range map[string]struct {
		status      int
		contentType string
		body, want  string
	}{
		"not found":    {404, "application/problem+json", `{"code":"not-found"}`, "404 Not Found"},
		"unauthorized": {401, "", "", "401 Unauthorized"},
		"a web page":   {200, "text/html", "<html>", "expected a stream of events, got text/html"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", test.contentType)
					w.WriteHeader(test.status)
					io.WriteString(w, test.body)
				})
				s.Lost = func(err error, _ time.Duration) error { t.Errorf("tries again after %v", err); return nil }
				_, err := collect(t.Context(), s)
				refused, ok := errors.AsType[*watch.StatusError](err)
				if !ok || refused.StatusCode != test.status || string(refused.Body) != test.body || err.Error() != test.want {
					t.Errorf("got %v %+v", err, refused)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		s := serve(t, func(n int, w http.ResponseWriter, _ *http.Request) {
			if n == 1 {
				w.Header().Set("Retry-After", "20")
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			stream(w, numbered(1))
		})
		for range s.Events(t.Context()) {
			break
		}
		if took := time.Since(start); took != 20*time.Second {
			t.Errorf("came back after %v, the server said 20 s", took)
		}
	})
}

// Lost may end it: whoever starts a command with a wrong URL wants to know.
func TestLostEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := serve(t, func(int, http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		enough := errors.New("enough")
		s.Lost = func(error, time.Duration) error { return enough }
		if _, err := collect(t.Context(), s); !errors.Is(err, enough) {
			t.Errorf("got %v", err)
		}
	})
}

// The headers go along each time, and After is where it begins.
func TestRequest(t *testing.T) {
	s := serve(t, func(n int, w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer ck_x" || r.Header.Get("Accept") != "text/event-stream" {
			t.Errorf("headers %v", r.Header)
		}
		if got, want := r.Header.Get("Last-Event-ID"), []string{"3-0", "3-0", "1-1"}[n-1]; got != want {
			t.Errorf("request %d goes on after %q, want %q", n, got, want)
		}
		switch n {
		case 1:
			stream(w, "retry: 1\n\n", "data: {}\n") // cut off
		case 2:
			stream(w, numbered(1))
		case 3:
			w.WriteHeader(http.StatusNoContent)
		}
	})
	s.Header = http.Header{"Authorization": {"Bearer ck_x"}}
	s.After = "3-0"
	if data, err := collect(t.Context(), s); err != nil || len(data) != 1 {
		t.Errorf("got %v, %v", data, err)
	}
}

// Over a real network nothing runs on after many comings and goings; goleak
// looks in the end.
func TestOverTCP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream(w, "retry: 1\n\n", numbered(1))
		<-r.Context().Done()
	}))
	defer server.Close()
	defer http.DefaultClient.CloseIdleConnections()
	for range 100 {
		come := func(ctx context.Context, leave func()) {
			var left time.Time
			for _, err := range (&watch.Stream{URL: server.URL}).Events(ctx) {
				if err == nil {
					leave()
					left = time.Now()
				} else if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
			}
			if took := time.Since(left); took > 100*time.Millisecond {
				t.Errorf("leaving took %v", took)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		come(ctx, cancel)
		cancel()
	}
}
