package auth

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle()
		for th.bucket("a") == th.bucket("b") { // one time in 16,384
			th = newThrottle()
		}
		expect := func(key string, want time.Duration) {
			t.Helper()
			if got := th.take(key); got != want {
				t.Errorf("key %s: got %s to wait, want %s", key, got, want)
			}
		}
		for range 10 {
			expect("a", 0)
		}
		expect("a", 6*time.Second)
		expect("b", 0)

		time.Sleep(2500 * time.Millisecond)
		expect("a", 3500*time.Millisecond)
		time.Sleep(3500 * time.Millisecond)
		expect("a", 0)
		expect("a", 6*time.Second)

		th.refund("a")
		expect("a", 0)
		expect("a", 6*time.Second)

		time.Sleep(time.Hour) // gives ten again, not six hundred
		for range 10 {
			expect("a", 0)
		}
		expect("a", 6*time.Second)
	})
}

func TestAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.7:1234":              "192.0.2.7",
		"[::ffff:192.0.2.7]:1234":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1234": "2001:db8:1:2::/64",
		"[2001:db8:1:2::9]:80":        "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1234":         "fe80::/64",
		"[::1]:1234":                  "::/64",
		"@":                           "@",
		"":                            "",
	} {
		if got := Address(addr); got != want {
			t.Errorf("address %q: got %q, want %q", addr, got, want)
		}
	}
}
