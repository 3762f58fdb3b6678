package queue_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// told is what a receiver is told of one job.
type told struct {
	Type string
	At   time.Time `json:"-"`
	ID   string    `json:"-"`
	Data struct {
		Sequence int
		Job      jobs.Job
	}
}

// chatter submits a job that reports a thousand times a second until it is
// released, to a receiver that answers with handle.
func chatter(t *testing.T, db *store.DB, handle func(n int, c told) int) (release func(), received func() []told) {
	t.Helper()
	services := newServices()
	hold := make(chan struct{})
	jobs.Add(&services.Registry, jobs.Service{Name: "chatter"}, func(ctx context.Context, _ struct{}) (string, error) {
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-ticker.C:
				jobs.Progress(ctx, float64(n)/1000, "on and on")
			case <-hold:
				return "over", nil
			case <-ctx.Done():
				return "", ctx.Err()
			}
		}
	})
	var mu sync.Mutex
	var got []told
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		c := told{At: time.Now(), ID: r.Header.Get("Webhook-Id")}
		if err != nil || json.Unmarshal(body, &c) != nil {
			t.Errorf("received %s, %v", body, err)
		}
		mu.Lock()
		got = append(got, c)
		n := len(got)
		mu.Unlock()
		w.WriteHeader(handle(n, c))
	}))
	t.Cleanup(server.Close)
	q, _ := newQueue(t, db, services, nil)
	submit(t, q, jobs.Submission{Service: "chatter", CallbackURL: server.URL, CallbackEvents: []string{jobs.JobProgress, jobs.JobSucceeded}})
	return sync.OnceFunc(func() { close(hold) }), func() []told {
		mu.Lock()
		defer mu.Unlock()
		return append([]told(nil), got...)
	}
}

// waitFor waits until the receiver got that many callbacks and returns them.
func waitFor(t *testing.T, received func() []told, enough func([]told) bool) []told {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if got := received(); enough(got) {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("received %+v", received())
		}
	}
}

func ended(got []told) bool { return len(got) > 0 && got[len(got)-1].Type == jobs.JobSucceeded }

// Of a thousand reports a second, one becomes a callback. It is the newest, is
// not tried again, and nothing comes after the end.
func TestProgressCallbacks(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		release, received := chatter(t, db, func(n int, _ told) int {
			if n%2 == 1 {
				return 500
			}
			return 204
		})
		waitFor(t, received, func(got []told) bool { return len(got) >= 3 })
		release()
		got := waitFor(t, received, ended)
		ids := make(map[string]bool)
		for i, c := range got[:len(got)-1] {
			if c.Type != jobs.JobProgress || c.Data.Job.Status != jobs.Running || c.Data.Job.Progress.Percent == 0 {
				t.Errorf("callback %d: %+v", i, c)
			}
			if ids[c.ID] {
				t.Errorf("callback %d was tried again", i)
			}
			ids[c.ID] = true
			if i > 0 && (c.Data.Sequence <= got[i-1].Data.Sequence || c.Data.Job.Progress.Percent <= got[i-1].Data.Job.Progress.Percent) {
				t.Errorf("callback %d is older than the one before", i)
			}
			if i > 0 && c.At.Sub(got[i-1].At) < 900*time.Millisecond {
				t.Errorf("callback %d came %s after the one before", i, c.At.Sub(got[i-1].At))
			}
		}
		last := got[len(got)-1]
		if before := got[len(got)-2]; last.Data.Sequence <= before.Data.Sequence {
			t.Errorf("the last callback's sequence is %d, after %d", last.Data.Sequence, before.Data.Sequence)
		}
	})
}

// Progress that was not sent when the job ended, because its process stopped or was
// killed, is never sent.
func TestPendingProgressIsDroppedAtJobEnd(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		receiver := newReceiver(t, http.StatusNoContent)
		q, _ := newQueue(t, db, newServices(), nil)
		job := submit(t, q, jobs.Submission{Service: "double", CallbackURL: receiver.URL, CallbackEvents: []string{jobs.JobProgress, jobs.JobFailed}})
		finished(t, q, job.ID)
		if _, err := db.Write.ExecContext(t.Context(), `INSERT INTO deliveries (id, job_id, owner, event, url, origin, body, status, next_attempt_at, created_at)
			SELECT 'msg_1', id, owner, 'job.progress', $1, $1, $2, 'pending', 0, 0 FROM jobs`, receiver.URL, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		jobstest.Until(t, "end of the delivery", func() bool {
			var left int
			err := db.Write.QueryRowContext(t.Context(), `SELECT count(*) FROM deliveries`).Scan(&left)
			return err == nil && left == 0
		})
		if got := receiver.received(); len(got) != 0 {
			t.Errorf("received %s", got[0].body)
		}
	})
}

// The last callback waits for progress that is being sent, and progress that
// was not sent by then never is.
func TestNoProgressCallbackAfterJobEnd(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		var mu sync.Mutex
		var answered time.Time // when the slow answer was given
		entered, leave := make(chan struct{}), make(chan struct{})
		release, received := chatter(t, db, func(n int, _ told) int {
			if n == 1 {
				close(entered)
				<-leave
				mu.Lock()
				defer mu.Unlock()
				answered = time.Now()
			}
			return 204
		})
		<-entered
		release()
		time.AfterFunc(300*time.Millisecond, func() { close(leave) })
		got := waitFor(t, received, ended)
		mu.Lock()
		defer mu.Unlock()
		if len(got) != 2 || got[1].At.Before(answered) {
			t.Errorf("received %+v, the first answered at %s", got, answered)
		}
	})
}
