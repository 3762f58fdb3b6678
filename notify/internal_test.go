package notify

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, time.November, 28, 5, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, value string
		want        time.Duration
	}{
		{"Retry-After", "30", 30 * time.Second},
		{"Retry-After", " 1.5 ", 1500 * time.Millisecond},
		{"Retry-After", "Sat, 28 Nov 2026 05:02:00 GMT", 2 * time.Minute},
		{"Retry-After", "Sat, 28 Nov 2026 05:02:00 UTC", 2 * time.Minute},
		{"Retry-After", "Sat, 28 Nov 2026 05:02:00 +0000", 2 * time.Minute},
		{"Retry-After", "Sat, 28 Nov 2026 06:02:00 +0100", 2 * time.Minute},
		{"Retry-After", "2026-11-28T05:02:00Z", 2 * time.Minute},
		{"Retry-After", "2026-11-28T06:02:00.5+01:00", 2*time.Minute + 500*time.Millisecond},
		{"Retry-After", "2026-11-28 05:02:00Z", 2 * time.Minute},
		{"Retry-After", "Sat, 28 Nov 2026 04:59:00 +0000", 0},
		{"Retry-After", "Sat, 28 Nov 2026 05:02:00 EST", 0},
		{"RateLimit-Reset", "120", 2 * time.Minute},
		{"RateLimit", `"default";r=0;t=120`, 2 * time.Minute},
		{"RateLimit", `"hour";r=0, "day";r=5;t=60`, time.Minute},
		{"RateLimit", "soon", 0},
	} {
		if got := retryAfter(http.Header{test.name: {test.value}, http.CanonicalHeaderKey(test.name): {test.value}}, now); got != test.want {
			t.Errorf("%s: %s is %s, want %s", test.name, test.value, got, test.want)
		}
	}
}

type redisError string

func (e redisError) Error() string { return string(e) }
func (redisError) RedisError()     {}

// Whatever is wrong with Redis or its configuration, events wait for it.
func TestIsOutage(t *testing.T) {
	for text, want := range map[string]bool{
		"NOAUTH Authentication required.": true, "ERR Protocol error: unauthenticated multibulk length": true, "ERR Protocol error: unauthenticated bulk length": true, "NOPERM this user has no permissions": true, "MOVED 3999 127.0.0.1:6381": true, "ASK 3999 127.0.0.1:6381": true,
		"LOADING Redis is loading": true, "OOM command not allowed": true, "READONLY You can't write": true, "WRONGPASS invalid username-password pair": true,
		"ERR wrong number of arguments": false, "WRONGTYPE Operation against a key": false, "CROSSSLOT Keys in request don't hash to the same slot": false,
	} {
		if got := isOutage(redisError(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
	if !isOutage(io.ErrUnexpectedEOF) || isOutage(nil) {
		t.Error("no answer passes, and no error does not")
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"1", "0", "-1", "1.5", "1e9", "NaN", "Inf", "", "Wed, 21 Oct 2099 07:28:00 GMT", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := parseRetryAfter(s, time.Now()); d < 0 || d > maxRetryAfter {
			t.Errorf("%q is %s", s, d)
		}
	})
}

// Whatever is in an event, a reader of Server-Sent Events gets one event.
func FuzzAppendFrame(f *testing.F) {
	f.Add([]byte(`{"a":1}`))
	f.Add([]byte("a\nb\r\n\r\nid: 9\n\nevent: x"))
	f.Fuzz(func(t *testing.T, data []byte) {
		frame := AppendFrame(nil, "progress", "3-4", data)
		if bytes.ContainsRune(frame, '\r') || !bytes.HasSuffix(frame, []byte("\nid: 3-4\n\n")) {
			t.Fatalf("%q", frame)
		}
		scanner := bufio.NewScanner(bytes.NewReader(frame))
		scanner.Buffer(nil, len(frame)+1)
		var lines []string
		for scanner.Scan() {
			lines = append(lines, scanner.Text())
		}
		for i, line := range lines {
			ok := strings.HasPrefix(line, "data: ")
			switch i {
			case 0:
				ok = line == "event: progress"
			case len(lines) - 2:
				ok = line == "id: 3-4"
			case len(lines) - 1:
				ok = line == ""
			}
			if !ok {
				t.Errorf("line %d of %q", i, frame)
			}
		}
	})
}
