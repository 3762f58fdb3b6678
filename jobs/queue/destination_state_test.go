package queue

import (
	"testing"
	"time"

	"coatcheck/jobs/store"
	"coatcheck/notify"
)

func TestDestinationState(t *testing.T) {
	const minHold, maxHold = 30 * time.Second, 10 * time.Minute
	now := time.UnixMilli(1_764_000_000_000)
	ok := notify.Result{Class: notify.Delivered, StatusCode: 200}
	failure := notify.Result{Class: notify.Retry, StatusCode: 500}
	refused := notify.Result{Class: notify.Refused, StatusCode: 404}
	busy := notify.Result{Class: notify.Throttled, StatusCode: 429, RetryAfter: time.Minute}
	local := notify.Result{Class: notify.Local}
	healthy := destinationState{allowed: maxPerDestination}
	held := destinationState{trips: 1, heldUntil: store.At(now.Add(time.Minute))}
	for _, test := range []struct {
		name    string
		state   destinationState
		probe   bool
		results []notify.Result
		want    destinationState
		atLeast time.Duration // of the hold from now on
		atMost  time.Duration
	}{
		{"all is well", healthy, false, []notify.Result{ok, ok}, healthy, 0, 0},
		{"four failures", healthy, false, []notify.Result{failure, failure, failure, failure}, destinationState{failures: 4, allowed: maxPerDestination}, 0, 0},
		{"a success between", healthy, false, []notify.Result{failure, failure, failure, failure, ok, failure}, destinationState{failures: 1, allowed: maxPerDestination}, 0, 0},
		{"a refusal is no failure", healthy, false, []notify.Result{failure, failure, failure, failure, refused, failure}, destinationState{failures: 1, allowed: maxPerDestination}, 0, 0},
		{"five failures", healthy, false, []notify.Result{failure, failure, failure, failure, failure}, destinationState{trips: 1}, minHold, minHold * 6 / 5},
		{"a failed probe", held, true, []notify.Result{failure}, destinationState{trips: 2}, 2 * minHold, 2 * minHold * 6 / 5},
		{"many failed probes", destinationState{trips: 60}, true, []notify.Result{failure}, destinationState{trips: 61}, maxHold, maxHold * 6 / 5},
		{"a good probe", held, true, []notify.Result{ok}, destinationState{trips: 1, allowed: 1}, 0, 0},
		{"and another success", destinationState{trips: 1, allowed: 1}, false, []notify.Result{ok, ok}, destinationState{trips: 1, allowed: 4}, 0, 0},
		{"well again", destinationState{trips: 1, allowed: 8}, false, []notify.Result{ok}, healthy, 0, 0},
		{"late news", held, false, []notify.Result{ok, failure}, held, time.Minute, time.Minute},
		{"asked to wait", healthy, false, []notify.Result{busy}, healthy, time.Minute, time.Minute},
		{"the probe is asked to wait", held, true, []notify.Result{busy}, destinationState{trips: 1, allowed: 1}, time.Minute, time.Minute},
		{"a probe that never left", held, true, []notify.Result{local}, destinationState{trips: 1}, 0, 0},
	} {
		got := test.state
		for _, r := range test.results {
			isHealthy := r.Class != notify.Retry && r.Class != notify.Throttled && r.StatusCode != 0
			got = got.after(test.probe, isHealthy, r, now, minHold)
		}
		hold := time.Duration(0)
		if got.heldUntil.After(now) {
			hold = got.heldUntil.Sub(now)
		}
		if hold < test.atLeast || hold > test.atMost {
			t.Errorf("%s: held for %s, want %s to %s", test.name, hold, test.atLeast, test.atMost)
		}
		got.heldUntil, test.want.heldUntil = store.Time{}, store.Time{}
		if got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}
