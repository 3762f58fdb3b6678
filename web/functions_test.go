package web

import (
	"testing"
	"time"
)

// Relative times are used for up to a day.
func TestAgo(t *testing.T) {
	now := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s ago", 59 * time.Second: "59 s ago", 111 * time.Second: "1 min ago", time.Hour: "1 h ago",
		24*time.Hour - 1: "23 h ago",
		24 * time.Hour:   `<time datetime="2026-11-23T10:00:00.000Z">2026-11-23 10:00:00</time>`,
	} {
		if got := Ago(now.Add(-d), now); string(got) != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
