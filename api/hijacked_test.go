package api_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/jobs/jobstest"
)

// A stream is logged and counted once, with its end.
func TestStreamLogged(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "hold", `{"input":{}}`)
	left := f.watch(t, job.EventsURL)
	for left.next(t).name != "progress" { // nothing follows that could be under way when it leaves
	}
	left.cancel()
	jobstest.Until(t, "viewer that has left", func() bool { return strings.Contains(f.log.String(), job.ID+"/events status=200") })
	if strings.Contains(f.log.String(), "broke off") {
		t.Error("a viewer who leaves is a trouble")
	}
	f.log.Reset()
	v := f.watch(t, job.EventsURL)
	for v.next(t).name != "progress" {
	}
	line := regexp.MustCompile(`path=/v1/jobs/` + job.ID + `/events status=200 bytes=(\d{3,}) took_ms=`)
	if log := f.log.String(); line.MatchString(log) {
		t.Errorf("logged before its end: %s", line.FindString(log))
	}
	close(f.hold)
	for v.next(t).name != "end" {
	}
	jobstest.Until(t, "line in the log", func() bool { return line.MatchString(f.log.String()) })
	if n := len(line.FindAllString(f.log.String(), -1)); n != 1 {
		t.Errorf("logged %d times", n)
	}
	if a := f.do(t, "GET", "/metrics", ""); !strings.Contains(a.body, `coatcheck_http_request_duration_seconds_count{method="GET",route="/v1/jobs/{job}/events",status="200"} 2`) {
		t.Error("not counted once each")
	}
}

// A viewer who says more after its request than any has reason to is gone.
func TestStreamUnsolicitedInput(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "hold", `{"input":{}}`)
	conn := raw(t, f.URL, "GET "+path(job.EventsURL)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	jobstest.Until(t, "stream", func() bool { return f.streams(t) == 1 })
	for err := error(nil); err == nil; {
		_, err = io.WriteString(conn, strings.Repeat("x", 4096))
	}
	jobstest.Until(t, "end of the stream", func() bool { return f.streams(t) == 0 })
}

// Who can't be told to leave, because it takes nothing, is cut off when the
// time of the shutdown is over.
func TestStreamAbortedOnDrainTimeout(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Streams.Stall = time.Hour }})
	job := f.submit(t, "chatter", `{"input":{"chunks":1000,"size":16000,"pause":1}}`)
	conn := raw(t, f.URL, "GET "+path(job.EventsURL)+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	conn.(*net.TCPConn).SetReadBuffer(4096)
	jobstest.Until(t, "end of the job", func() bool { return f.do(t, http.MethodGet, job.StatusURL, "").job(t).Done })
	f.api.Drain()
	if f.streams(t) != 1 {
		t.Fatal("the network took it all")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.api.Wait(ctx)
	if n := f.streams(t); n != 0 {
		t.Errorf("%d streams are left", n)
	}
}
