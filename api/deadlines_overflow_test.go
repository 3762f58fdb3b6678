package api

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-chi/chi/v5/middleware"
)

// A deadlineRecorder records the last deadline of the body.
type deadlineRecorder struct {
	*httptest.ResponseRecorder
	last time.Time
}

func (d *deadlineRecorder) SetReadDeadline(t time.Time) error { d.last = t; return nil }

// TestLargeBodyDeadline checks that the deadline of a large body lies in the future, however large it is.
func TestLargeBodyDeadline(t *testing.T) {
	t.Parallel()
	for _, received := range []int64{1 << 20, 9 << 30} {
		d := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		b := &deadlineBody{ReadCloser: io.NopCloser(strings.NewReader("more")), control: http.NewResponseController(d)}
		b.allowLarge(time.Minute)
		b.received = received
		if _, err := b.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if !d.last.After(time.Now()) {
			t.Errorf("after %d bytes, the deadline is %s, in the past", received, d.last)
		}
	}
}

// SetWriteDeadline records a deadline of the response.
func (d *deadlineRecorder) SetWriteDeadline(t time.Time) error { d.last = t; return nil }

// TestLargeResponseDeadline checks the same of the deadline of a large response.
func TestLargeResponseDeadline(t *testing.T) {
	t.Parallel()
	for _, written := range []int{1 << 20, 9 << 30} {
		d := &deadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
		w := &deadlineWriter{
			WrapResponseWriter: middleware.NewWrapResponseWriter(d, 1), control: http.NewResponseController(d),
			stallTimeout: time.Minute, written: written,
		}
		if _, err := w.Write([]byte("more")); err != nil {
			t.Fatal(err)
		}
		if !d.last.After(time.Now()) {
			t.Errorf("after %d bytes, the deadline is %s, in the past", written, d.last)
		}
	}
}
