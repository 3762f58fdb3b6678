package api_test

import (
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/notify"
)

// Redis has lost its log, and with it events that came after the newest one
// that the table knows and the viewer has: it is not led past the gap.
func TestResumeAtRowBeforeGap(t *testing.T) {
	t.Parallel()
	r := jobstest.PrivateRedis(t)
	hub, err := notify.NewRedisHub("redis://"+r.Addr, "test", slogDiscard)
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, jobstest.SQLite(t), options{hub: hub})
	defer close(f.hold)
	job := f.submit(t, "hold", `{"input":{}}`)
	waitFor(t, "the row knows all that the service has said", 20*time.Second, func() bool {
		return f.do(t, "GET", job.StatusURL, "").job(t).LastEventID == "2-3"
	})
	if _, err := r.Do("FLUSHALL"); err != nil {
		t.Fatal(err)
	}
	late := notify.Event{ID: notify.ID{Version: 2, N: 9}, Prev: notify.ID{Version: 2, N: 8}, Name: "output", Data: []byte(`{"type":"output","index":7,"offset":70,"chunk":"late"}`)}
	if err := hub.Publish(job.ID, late); err != nil {
		t.Fatal(err)
	}
	v := f.watch(t, f.URL+path(job.EventsURL), "Last-Event-ID: 2-3")
	defer v.cancel()
	if e := <-v.events; e.name != "snapshot" || !strings.Contains(e.data, `"truncated":true`) || !strings.Contains(e.data, string(jobs.Running)) {
		t.Errorf("after the gap comes %s %s", e.name, e.data)
	}
}
