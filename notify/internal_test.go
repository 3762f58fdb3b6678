package notify

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"
)

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
