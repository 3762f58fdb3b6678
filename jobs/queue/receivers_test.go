package queue_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/receivers"
	"coatcheck/jobs/store"
	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

// The test receiver answers as it is told, and says why a signature is wrong.
func TestReceiver(t *testing.T) {
	tests := []struct {
		answer, damage string
		code, verdict  string
		status         int
	}{
		{receivers.AnswerOK, receivers.DamageNone, "ok", "", 200},
		{receivers.AnswerError, receivers.DamageNone, "http_500", "", 500},
		{receivers.AnswerGone, receivers.DamageNone, "http_410", "", 410},
		{receivers.AnswerRedirect, receivers.DamageNone, "redirect_refused", "", 302},
		{receivers.AnswerNever, receivers.DamageNone, "timeout", "", 0},
		{receivers.AnswerOK, receivers.DamageBody, "ok", "the body was changed on its way", 200},
		{receivers.AnswerOK, receivers.DamageTime, "ok", "more than 5m0s", 200},
	}
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		keys := jobstest.Keys(t, db)
		q, _ := newQueue(t, db, newServices(), func(c *queue.Config) {
			// A guard that lets nothing through: nothing is dialed.
			guard, err := notify.NewGuard(notify.GuardConfig{})
			if err != nil {
				t.Fatal(err)
			}
			c.Sender = notify.NewSender(notify.SenderConfig{Guard: guard, Timeout: 5 * time.Second, Local: receivers.New(db, keys)})
			t.Cleanup(c.Sender.Close)
		})
		ctx := t.Context()
		if _, err := q.Receivers.Mine(ctx, "alice"); err == nil {
			t.Fatal("alice has a receiver before she made one")
		}
		if err := q.Receivers.Create(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		first, err := q.Receivers.Mine(ctx, "alice")
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			if err := q.Receivers.Set(ctx, "alice", tt.answer, tt.damage); err != nil {
				t.Fatal(err)
			}
			d, err := q.SendTest(ctx, "alice", first.URL)
			if err != nil {
				t.Fatal(err)
			}
			for deadline := time.Now().Add(20 * time.Second); d.FinishedAt == nil; time.Sleep(5 * time.Millisecond) {
				if d, err = q.Delivery(ctx, d.ID); err != nil || time.Now().After(deadline) {
					t.Fatalf("%s: %+v, %v", tt.answer, d, err)
				}
			}
			mine, err := q.Receivers.Mine(ctx, "alice")
			if err != nil {
				t.Fatal(err)
			}
			got := mine.Received[0]
			if d.Attempts[0].Code != tt.code || got.StatusCode != tt.status || !strings.Contains(got.Verdict, tt.verdict) || (tt.verdict == "") != (got.Verdict == "") {
				t.Errorf("%s, %s: the sender says %s, the receiver %d %q", tt.answer, tt.damage, d.Attempts[0].Code, got.StatusCode, got.Verdict)
			}
			// What both have seen is the same, whoever looks at it.
			if request := d.Attempts[0].Headers.Request; request.Get("Webhook-Signature") == "" || request.Get("Webhook-Signature") != got.Header.Get("Webhook-Signature") {
				t.Errorf("%s: sent %v, received %v", tt.answer, request, got.Header)
			}
			if tt.status == http.StatusFound && d.Attempts[0].Headers.Response.Get("Location") != "/elsewhere" {
				t.Errorf("the answer had %v", d.Attempts[0].Headers.Response)
			}
			if err := got.Verify(webhook.NewKey(webhook.V1).Secret()); err == nil {
				t.Error("a key that signed nothing verifies")
			}
		}
		if err := q.Receivers.Set(ctx, "alice", "nonsense", receivers.DamageNone); err == nil {
			t.Error("a receiver can be told nonsense")
		}
		if err := q.Receivers.Create(ctx, "alice"); err != nil {
			t.Fatal(err)
		}
		if second, err := q.Receivers.Mine(ctx, "alice"); err != nil || second.URL == first.URL || len(second.Received) != 0 {
			t.Errorf("the new receiver is %+v, %v", second, err)
		}
	})
}

// A receiver keeps the newest fifty callbacks.
func TestReceiverDeletesOldCallbacks(t *testing.T) {
	db := jobstest.SQLite(t)
	receivers := receivers.New(db, jobstest.Keys(t, db))
	if err := receivers.Create(t.Context(), "alice"); err != nil {
		t.Fatal(err)
	}
	mine, err := receivers.Mine(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for range 53 {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, mine.URL, strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := receivers.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if mine, err = receivers.Mine(t.Context(), "alice"); err != nil || len(mine.Received) != 50 {
		t.Errorf("%d are kept, %v", len(mine.Received), err)
	}
	if !strings.Contains(mine.Received[0].Verdict, "is missing") {
		t.Errorf("a callback without a signature: %q", mine.Received[0].Verdict)
	}
}

// A receiver that is made anew while callbacks come to it, which push out older
// ones, costs nobody an error: both lock what they touch in the same order.
func TestReceiverRecreatedUnderLoad(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		receivers := receivers.New(db, jobstest.Keys(t, db))
		for range 20 {
			if err := receivers.Create(t.Context(), "alice"); err != nil {
				t.Fatal(err)
			}
			mine, err := receivers.Mine(t.Context(), "alice")
			if err != nil {
				t.Fatal(err)
			}
			receive := func(n int) {
				for range n {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, mine.URL, strings.NewReader("{}"))
					if err != nil {
						t.Error(err)
						return
					}
					resp, err := receivers.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					resp.Body.Close()
				}
			}
			receive(50) // as many as are kept
			var wg sync.WaitGroup
			wg.Go(func() { receive(10) })
			wg.Go(func() {
				if err := receivers.Create(t.Context(), "alice"); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
		}
	})
}
