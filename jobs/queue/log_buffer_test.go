package queue_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// strictBus refuses events that do not come in order, as Redis does.
type strictBus struct{ recorder }

func (b *strictBus) Publish(topic string, e notify.Event) error {
	if events := b.of(topic); len(events) > 0 && e.ID.Compare(events[len(events)-1].ID) <= 0 {
		return notify.ErrStale
	}
	return b.recorder.Publish(topic, e)
}

// What services say is numbered over attempts and steps, and kept with the
// job until it is erased.
func TestLog(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		jobs.Add(&services.Registry, jobs.Service{Name: "talk", MaxAttempts: 2}, func(ctx context.Context, in number) (number, error) {
			jobs.Log(ctx, "one")
			jobs.Warn(ctx, "two\nlines\x00")
			if services.count("talk") == 1 {
				return in, errors.New("once more")
			}
			return in, nil
		})
		q, events := newQueue(t, db, services, nil)
		job := finished(t, q, submit(t, q, jobs.Submission{Service: "talk", Input: json.RawMessage(`{"n":1}`), Then: []jobs.NextStep{{Service: "talk", Input: json.RawMessage(`{"n":2}`)}}}).ID)
		text, truncated, err := q.Log(t.Context(), job.ID)
		if err != nil || truncated {
			t.Fatalf("truncated %v, %v", truncated, err)
		}
		if strings.Count(text, " info one\n") != 3 || strings.Count(text, " warning two\n\tlines\uFFFD\n") != 3 {
			t.Errorf("log:\n%s", text)
		}
		var lines []uint64
		for _, e := range events.ended(t, job.ID) {
			var data struct{ Line uint64 }
			if e.Name == "log" && json.Unmarshal(e.Data, &data) == nil {
				lines = append(lines, data.Line)
			}
		}
		if fmt.Sprint(lines) != "[1 2 3 4 5 6]" {
			t.Errorf("lines %v", lines)
		}
		if err := q.Delete(t.Context(), job.ID, false); err != nil {
			t.Fatal(err)
		}
		if text, _, err := q.Log(t.Context(), job.ID); text != "" || err != nil {
			t.Errorf("erased: %q, %v", text, err)
		}
	})
}

// Of a long log the newest 256 KiB are kept, in whole lines.
func TestLogIsBounded(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services := newServices()
		next := make(chan struct{})
		jobs.Add(&services.Registry, jobs.Service{Name: "shout"}, func(ctx context.Context, _ struct{}) (string, error) {
			for i := range 6 {
				for range 8 {
					jobs.Log(ctx, "%d %s", i, strings.Repeat("x", 10_000))
				}
				<-next // the row knows of it
			}
			return "", nil
		})
		q, _ := newQueue(t, db, services, nil)
		job := submit(t, q, jobs.Submission{Service: "shout"})
		for i := range 6 {
			await(t, "log", func() bool {
				text, _, err := q.Log(t.Context(), job.ID)
				return err == nil && strings.Count(text, fmt.Sprintf(" info %d xxx", i)) == 8
			})
			next <- struct{}{}
		}
		finished(t, q, job.ID)
		text, truncated, err := q.Log(t.Context(), job.ID)
		if err != nil || !truncated || len(text) > 256<<10 || len(text) < 240<<10 || !strings.HasPrefix(text, "20") || !strings.HasSuffix(text, "x\n") {
			t.Errorf("%d bytes, truncated %v, %v: %.40s", len(text), truncated, err, text)
		}
		var rows int
		if err := db.Write.QueryRowContext(t.Context(), `SELECT sum(octet_length(lines)) FROM job_logs`).Scan(&rows); err != nil || rows > 400<<10 {
			t.Errorf("%d bytes are in the table, %v", rows, err)
		}
	})
}

// A job that is asked to stop by another process than the one that runs it
// goes on to be heard.
func TestCancelFromOtherProcessKeepsEventOrder(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		services, bus := newServices(), new(strictBus)
		jobs.Add(&services.Registry, jobs.Service{Name: "tidy"}, func(ctx context.Context, _ struct{}) (string, error) {
			jobs.Log(ctx, "at work")
			services.started <- "tidy"
			<-ctx.Done()
			jobs.Log(ctx, "tidying up")
			return "", ctx.Err()
		})
		worker, _ := newQueue(t, db, services, func(c *queue.Config) { c.Events = bus })
		server := worker
		if db.Postgres() {
			server, _ = newQueue(t, db, services, func(c *queue.Config) { c.Events, c.Workers = bus, 0 })
		}
		job := submit(t, server, jobs.Submission{Service: "tidy"})
		<-services.started
		await(t, "first line", func() bool { return len(bus.of(job.ID)) == 2 })
		if _, err := server.Cancel(t.Context(), job.ID, "enough"); err != nil {
			t.Fatal(err)
		}
		if got := finished(t, worker, job.ID); got.Status != jobs.Canceled || got.Error.Message != "enough" || got.LastEventID != "4-0" {
			t.Errorf("%s at %s: %+v", got.Status, got.LastEventID, got.Error)
		}
		var got []string
		for _, e := range bus.ended(t, job.ID) {
			got = append(got, e.ID.String()+" "+e.Name)
		}
		// The run may say its line before the other process says that it is to stop.
		either, or := "[2-0 status 2-1 log 3-0 status 3-1 log 4-0 end]", "[2-0 status 2-1 log 2-2 log 3-0 status 4-0 end]"
		if fmt.Sprint(got) != either && fmt.Sprint(got) != or {
			t.Errorf("got %v, want %s or %s", got, either, or)
		}
	})
}
