package api_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"coatcheck/jobs/jobstest"
)

const sum = `{"input":{"a":1,"b":2}}`

func zipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A compressed body is refused with the encoding that is taken.
func TestBadInputEncoding(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	for _, test := range []struct {
		path, body, encoding, kind string
		status                     int
	}{
		{"/v1/services/maths.add/jobs", zipped(t, sum), "gzip", "application/json", 415},
		{"/v1/services/maths.add/jobs", sum, "gzip", "application/json", 415},
		{"/v1/services/maths.add/jobs", sum, "identity, br", "application/json", 415},
		{"/v1/services/maths.add/jobs", sum, "identity", "application/json", 202},
		{"/v1/services/maths.add/jobs", sum, "Identity", "application/json", 202},
		{"/v1/callbacks/test", zipped(t, `{"url":"https://example.com"}`), "gzip", "application/json", 415},
		{"/services/maths.add", zipped(t, "a=1&b=2"), "gzip", "application/x-www-form-urlencoded", 415},
	} {
		a := f.do(t, "POST", test.path, test.body, "Content-Type: "+test.kind, "Content-Encoding: "+test.encoding)
		if a.StatusCode != test.status {
			t.Errorf("%s of %s: %s, want %d: %s", test.path, test.encoding, a.Status, test.status, a.body)
		}
		if hint := a.Header.Get("Accept-Encoding"); test.status == 415 && hint != "identity" {
			t.Errorf("%s of %s: Accept-Encoding: %q", test.path, test.encoding, hint)
		}
	}
}

// A byte order mark before JSON is ignored; UTF-16 is named.
func TestBadInputByteOrderMark(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	const key = "Idempotency-Key: bom"
	first := f.do(t, "POST", "/v1/services/maths.add/jobs", "\ufeff"+sum, key)
	if first.StatusCode != 202 {
		t.Fatalf("%s: %s", first.Status, first.body)
	}
	if again := f.do(t, "POST", "/v1/services/maths.add/jobs", sum, key); again.StatusCode != 202 || again.job(t).ID != first.job(t).ID {
		t.Errorf("the same without the mark: %s: %s", again.Status, again.body)
	}
	if a := f.do(t, "POST", "/v1/jobs/"+first.job(t).ID+"/cancel", "\ufeff{}"); a.StatusCode == 400 {
		t.Errorf("cancel: %s", a.body)
	}
	if a := f.do(t, "POST", "/v1/services/maths.add/jobs", "\xff\xfe{\x00}\x00"); a.StatusCode != 400 || !strings.Contains(a.body, "UTF-16: expected UTF-8") {
		t.Errorf("UTF-16: %s: %s", a.Status, a.body)
	}
}

// A body over the limit is refused before it is sent, and a client that sends
// it all the same reads why.
func TestBodyTooLarge(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	const size = 10 << 20 // more than fits into the buffers of the sockets
	const head = "POST /v1/services/maths.add/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
	check := func(t *testing.T, r *bufio.Reader) {
		t.Helper()
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 413 || !strings.Contains(string(b), "at most 1048576 bytes") {
			t.Errorf("%s %s, %v", resp.Status, b, err)
		}
	}
	t.Run("waits for 100 Continue", func(t *testing.T) {
		conn := raw(t, f.URL, head+fmt.Sprintf("Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", size))
		check(t, bufio.NewReader(conn))
	})
	t.Run("sends blindly", func(t *testing.T) {
		conn := raw(t, f.URL, head+fmt.Sprintf("Content-Length: %d\r\n\r\n", size))
		if n, err := io.Copy(conn, strings.NewReader(strings.Repeat("x", size))); err != nil {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		check(t, bufio.NewReader(conn))
	})
	t.Run("in chunks", func(t *testing.T) {
		conn := raw(t, f.URL, head+"Transfer-Encoding: chunked\r\n\r\n")
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 1<<20, strings.Repeat("x", 1<<20))
		for i := range 10 {
			if _, err := io.WriteString(conn, chunk); err != nil {
				t.Fatalf("chunk %d: %v", i, err)
			}
		}
		if _, err := io.WriteString(conn, "0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		check(t, bufio.NewReader(conn))
	})
	t.Run("form", func(t *testing.T) {
		conn := raw(t, f.URL, fmt.Sprintf("POST /services/maths.add HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", size))
		check(t, bufio.NewReader(conn))
	})
}

// The output of a job that ended is not sent to those who have it.
func TestResultNotModified(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "maths.add", sum, "Prefer: wait=20")
	path := "/v1/jobs/" + string(job.Token) + "/result"
	tag := f.do(t, "GET", path, "").Header.Get("ETag")
	for _, header := range []string{tag, strings.TrimPrefix(tag, "W/"), `"other", ` + tag, "*"} {
		for _, method := range []string{"GET", "HEAD"} {
			if a := f.do(t, method, path, "", "If-None-Match: "+header); a.StatusCode != 304 || a.body != "" || a.Header.Get("ETag") != tag {
				t.Errorf("%s with %s: %s %q, ETag %s", method, header, a.Status, a.body, a.Header.Get("ETag"))
			}
		}
	}
	if a := f.do(t, "GET", path, "", `If-None-Match: W/"1-0"`); a.StatusCode != 200 || a.body != "3\n" {
		t.Errorf("with another tag: %s %s", a.Status, a.body)
	}
	failed := f.submit(t, "fail", `{"input":{}}`, "Prefer: wait=20")
	if a := f.do(t, "GET", "/v1/jobs/"+failed.ID+"/result", "", "If-None-Match: *"); a.StatusCode != 409 {
		t.Errorf("of a job that failed: %s", a.Status)
	}
	held := f.submit(t, "hold", `{"input":{}}`)
	if a := f.do(t, "GET", "/v1/jobs/"+held.ID+"/result", "", "If-None-Match: *"); a.StatusCode != 202 {
		t.Errorf("of a job that runs: %s", a.Status)
	}
	close(f.hold)
}

// Times are understood in every form of RFC 3339, and what is none is told so
// with an example.
func TestTimes(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "maths.add", sum)
	for _, path := range []string{"/v1/jobs?created_after=", "/v1/jobs?created_before=", "/v1/deliveries?created_after="} {
		for at, status := range map[string]int{
			"2026-01-01T00:00:00Z": 200, "2026-01-01t00:00:00z": 200, "2026-01-01T00:00:00.5Z": 200, "2026-01-01T00:00:00+01:00": 200, "2026-01-01T00:00:00%2B01:00": 200,
			"2026-01-01t00:00:00-01:00": 200, "2026-01-01": 422, "2026-01-01%2000:00:00": 422, "2026-02-30T00:00:00Z": 422, "1735689600": 422, "yesterday": 422, url.QueryEscape("2026-12-31T23:59:60Z"): 422,
		} {
			a := f.do(t, "GET", path+at, "")
			if a.StatusCode != status {
				t.Errorf("%s%s: %s, want %d", path, at, a.Status, status)
			}
			if status == 422 && (!strings.Contains(a.body, `"message":"expected a time such as 2026-01-31T12:00:00Z`) || strings.Contains(a.body, "15:04")) {
				t.Errorf("%s%s: %s", path, at, a.body)
			}
		}
	}
	if a := f.do(t, "GET", "/v1/jobs?created_after=2020-01-01T00:00:00+01:00", ""); !strings.Contains(a.body, job.ID) {
		t.Errorf("the job is not listed: %s", a.body)
	}
	for at, status := range map[string]int{"2026-11-29t10:00:00z": 202, "2026-11-29T10:00:00+01:00": 202, "2026-12-31T23:59:60Z": 422, "2026-11-29": 422} {
		a := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":2},"run_at":"`+at+`"}`)
		if a.StatusCode != status || status == 422 && !strings.Contains(a.body, "a time such as 2026-01-31T12:00:00Z") {
			t.Errorf("run_at %s: %s %s", at, a.Status, a.body)
		}
	}
	if a := f.do(t, "POST", "/v1/deliveries/redeliver", `{"status":"failed","created_after":"2026-01-01t00:00:00z"}`); a.StatusCode != 202 {
		t.Errorf("redeliver: %s %s", a.Status, a.body)
	}
}

// A wait ends before proxies give up, also one that was asked for longer.
func TestWaitIsCapped(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	if a := f.do(t, "POST", "/v1/services/maths.add/jobs", sum, "Prefer: wait=600"); a.Header.Get("Preference-Applied") != "wait=55" {
		t.Errorf("Preference-Applied: %q", a.Header.Get("Preference-Applied"))
	}
	if a := f.do(t, "GET", "/v1/jobs/"+f.submit(t, "maths.add", sum, "Prefer: wait=5").ID+"?wait=60", ""); a.StatusCode != 200 {
		t.Errorf("wait=60: %s %s", a.Status, a.body)
	}
}
