package queue_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// A gauge is a receiver that counts requests, and answers each when it is let
// go.
type gauge struct {
	*httptest.Server
	mu             sync.Mutex
	status         int
	now, most, all int
	gate           chan struct{} // closed when requests are answered at once
}

func newGauge(t *testing.T, status int) *gauge {
	t.Helper()
	g := &gauge{status: status, gate: make(chan struct{})}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		g.all++
		g.now++
		g.most = max(g.most, g.now)
		gate := g.gate
		g.mu.Unlock()
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
		w.WriteHeader(g.status)
	}))
	t.Cleanup(g.Close)
	return g
}

// open answers what waits and all that follows with a status.
func (g *gauge) open(status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.status = status
	close(g.gate)
}

// shut lets requests wait again.
func (g *gauge) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate, g.most = make(chan struct{}), 0
}

func (g *gauge) counts() (all, most int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.all, g.most
}

// tell submits n jobs whose end is told to a URL.
func tell(t *testing.T, q *queue.Queue, url string, n int) (ids []string) {
	t.Helper()
	for range n {
		ids = append(ids, submit(t, q, jobs.Submission{Service: "double", CallbackURL: url}).ID)
	}
	return ids
}

func allTold(t *testing.T, q *queue.Queue, ids []string) {
	t.Helper()
	for _, id := range ids {
		eventually(t, q, id, "callback delivered", func(j jobs.Job) bool { return j.Callback != nil && j.Callback.Status == "delivered" })
	}
}

// A receiver that hangs has its share of attempts under way, and no more:
// others are called meanwhile.
func TestHangingReceiverDoesNotDelayOthers(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) {
			c.CallbackWorkers = 20
			// The machine may be slow: nothing here ends by the time it takes.
			c.Sender = notify.NewSender(notify.SenderConfig{Guard: newGuard(t), Timeout: 5 * time.Minute})
			t.Cleanup(c.Sender.Close)
		})
		hanging, healthy := newGauge(t, 204), newGauge(t, 204)
		healthy.open(204)
		slow := tell(t, q, hanging.URL, 30)
		allTold(t, q, tell(t, q, healthy.URL, 30))
		if _, most := hanging.counts(); most > 16 {
			t.Errorf("%d attempts were under way to the one that hangs, want at most 16", most)
		}
		hanging.open(204)
		allTold(t, q, slow)
	})
}

// A receiver that fails again and again is held back, by all processes and
// after a restart, then asked by one attempt alone.
func TestFailingReceiverIsPutOnHold(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		patient := func(c *queue.Config) {
			c.Schedule = notify.Schedule{0, time.Hour}
		}
		q, _ := newQueue(t, db, newServices(), patient)
		failing := newGauge(t, 500)
		failing.open(500)
		tell(t, q, failing.URL, 5)
		var allowed, trips int
		row := func() bool {
			err := db.Write.QueryRowContext(t.Context(), `SELECT allowed, trips FROM destinations WHERE owner = 'alice'`).Scan(&allowed, &trips)
			return err == nil && allowed == 0
		}
		for deadline := time.Now().Add(patience); !row(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("not held back: allowed %d", allowed)
			}
		}
		all, _ := failing.counts()
		if all != 5 || trips != 1 {
			t.Errorf("%d attempts, %d trips", all, trips)
		}

		// Another process knows it; another owner does not suffer from it.
		queues := []*queue.Queue{q}
		if db.Postgres() {
			second, _ := newQueue(t, db, newServices(), patient)
			queues = append(queues, second)
		}
		for i := range 20 {
			tell(t, queues[i%len(queues)], failing.URL, 1)
		}
		bobs := submit(t, q, jobs.Submission{Service: "double", Owner: "bob", CallbackURL: failing.URL})
		eventually(t, q, bobs.ID, "attempt", func(j jobs.Job) bool { return j.Callback.Attempts == 1 })
		if all, _ := failing.counts(); all != 6 {
			t.Errorf("%d attempts, want bob's alone", all)
		}

		// When the time is over, a single attempt goes first, of however many.
		failing.shut()
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE destinations SET held_until = 1 WHERE owner = 'alice'`); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for i := range 20 {
			ids = append(ids, tell(t, queues[i%len(queues)], failing.URL, 1)...)
		}
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			// One attempt of 40 deliveries is under way: those of the hold and the new ones.
			var off int
			if err := db.Write.QueryRowContext(t.Context(), `SELECT count(*) FROM deliveries WHERE owner = 'alice' AND status = 'pending' AND claimed_by IS NULL AND attempts = 0`).Scan(&off); err != nil {
				t.Fatal(err)
			}
			if all, _ := failing.counts(); all == 7 && off >= 39 {
				break
			}
			if all, _ := failing.counts(); time.Now().After(deadline) || all > 7 {
				t.Fatalf("%d attempts, %d wait", all, off)
			}
		}
		failing.open(204)
		told := func(j jobs.Job) bool { return j.Callback.Status == "delivered" }
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			if slices.ContainsFunc(ids, func(id string) bool {
				j, err := q.Get(t.Context(), id)
				return err == nil && told(j)
			}) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the probe was not delivered")
			}
		}
	})
}

// Of a receiver whose hold is over, one attempt probes although attempts from before
// the hold still hang, and its success ends the hold.
func TestProbeDespiteHangingAttempts(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) {
			c.CallbackWorkers = 200
			c.CallbackHold = 100 * time.Millisecond
			c.Schedule = notify.Schedule{0, 50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond, 50 * time.Millisecond}
			c.Sender = notify.NewSender(notify.SenderConfig{Guard: newGuard(t), Timeout: 5 * time.Minute})
			t.Cleanup(c.Sender.Close)
		})
		var mu sync.Mutex
		hang, status := make(chan struct{}), 204
		hanging := 0
		receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			wait, answer := hanging < 10, status
			if wait {
				hanging++
			}
			mu.Unlock()
			if wait {
				<-hang
			}
			w.WriteHeader(answer)
		}))
		t.Cleanup(receiver.Close)
		t.Cleanup(func() { close(hang) })
		tell(t, q, receiver.URL, 10)
		jobstest.Until(t, "ten attempts that hang", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return hanging == 10
		})
		mu.Lock()
		status = 500
		mu.Unlock()
		tell(t, q, receiver.URL, 5)
		jobstest.Until(t, "hold", func() bool {
			var held bool
			err := db.Write.QueryRowContext(t.Context(), `SELECT allowed = 0 FROM destinations`).Scan(&held)
			return err == nil && held
		})
		mu.Lock()
		status = 204
		mu.Unlock()
		started := time.Now()
		allTold(t, q, tell(t, q, receiver.URL, 3))
		if took := time.Since(started); took > 20*time.Second { // a probe that is lost takes 30 s
			t.Errorf("delivered after %s", took)
		}
	})
}

// What a worker had claimed when it was killed, others deliver.
func TestClaimOfDeadWorkerIsReleased(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		front, _ := newQueue(t, db, newServices(), func(c *queue.Config) { c.Workers = 0 })
		receiver := newReceiver(t, http.StatusNoContent)
		ids := tell(t, front, receiver.URL, 2)
		for _, id := range ids {
			if _, err := front.Cancel(t.Context(), id, ""); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := db.Write.ExecContext(t.Context(), `UPDATE deliveries SET claimed_by = 'dead', claims = 1`); err != nil {
			t.Fatal(err)
		}
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) { sender(t, c) })
		allTold(t, q, ids)
	})
}
