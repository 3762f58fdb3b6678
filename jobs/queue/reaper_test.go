package queue

import (
	"testing"
	"time"
)

func TestReaperDetectsStaleHeartbeats(t *testing.T) {
	type look struct {
		at    time.Duration
		beats map[string]int64
		dead  bool // whether "a" is found dead
	}
	steps := func(from, to time.Duration, beat func(at time.Duration) int64) (looks []look) {
		for at := from; at <= to; at += reapInterval {
			looks = append(looks, look{at: at, beats: map[string]int64{"a": beat(at)}})
		}
		return looks
	}
	once := func(time.Duration) int64 { return 1 }
	second := func(at time.Duration) int64 { return int64(at / time.Second) }
	tests := []struct {
		name   string
		looks  []look
		forget time.Duration // when this process could not write
	}{
		{name: "alive", looks: steps(0, 20*time.Second, second)},
		{name: "silent for less", looks: steps(0, staleAfter-reapInterval, once)},
		{name: "silent", looks: append(steps(0, staleAfter-reapInterval, once), look{staleAfter, map[string]int64{"a": 1}, true})},
		{
			name: "silent after a heartbeat", // which may have come right after the look before
			looks: append(append(steps(0, 2*time.Second, second), steps(2250*time.Millisecond, 6500*time.Millisecond, func(time.Duration) int64 { return 2 })...),
				look{6750 * time.Millisecond, map[string]int64{"a": 2}, true}),
		},
		{name: "the database's clock jumps", looks: steps(0, 20*time.Second, func(at time.Duration) int64 {
			if at > 10*time.Second {
				return second(at) - 1_000_000
			}
			return second(at)
		})},
		{name: "the database was away", looks: append(steps(0, 4*time.Second, second), steps(60*time.Second, 64*time.Second, once)...)},
		{name: "we could not write either", looks: steps(0, 9*time.Second, once), forget: 4500 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			var r reaper
			for _, l := range tt.looks {
				if l.at == tt.forget {
					r.reset()
				}
				dead := r.stale(start.Add(l.at), l.beats)
				if _, ok := dead["a"]; ok != l.dead {
					t.Errorf("after %v: dead is %v, want %v", l.at, ok, l.dead)
				}
			}
		})
	}
}

func TestClockDetectsJumps(t *testing.T) {
	var c clock
	now := time.Now()
	if by := c.tick(now); by != 0 {
		t.Errorf("at first: %v", by)
	}
	if by := c.tick(now.Add(time.Second)); by != 0 {
		t.Errorf("a second later: %v", by)
	}
}
