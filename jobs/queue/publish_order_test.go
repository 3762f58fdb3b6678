package queue_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// A slowRecorder takes its time for the event that a job is queued.
type slowRecorder struct{ *recorder }

func (r slowRecorder) Publish(topic string, e notify.Event) error {
	if strings.Contains(string(e.Data), `"queued"`) {
		time.Sleep(100 * time.Millisecond)
	}
	return r.recorder.Publish(topic, e)
}

// A worker that starts a job at once does not publish that before whoever has queued the job has
// published that.
func TestEventsInOrderOfCommits(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		events := slowRecorder{new(recorder)}
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Events = events })
		job := submit(t, q, jobs.Submission{Service: "double", Input: json.RawMessage(`{"n": 1}`), Delay: time.Millisecond})
		finished(t, q, job.ID)
		var ids []string
		for _, e := range events.ended(t, job.ID) {
			ids = append(ids, e.ID.String())
		}
		if got := strings.Join(ids, " "); got != "2-0 3-0 4-0" {
			t.Errorf("events %s, want 2-0 3-0 4-0", got)
		}
	})
}
