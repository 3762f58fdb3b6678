package api

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// acceptBody returns a problem when the headers of a request say that its body
// will not be taken, so that a client that waits for 100 Continue never sends it.
func (a *API) checkBodyHeaders(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			p := newProblem("unsupported-media-type", "expected a body without compression, not with Content-Encoding: "+truncate(coding))
			p.header.Set("Accept-Encoding", "identity") // RFC 9110, section 15.5.16
			return p
		}
	}
	if r.ContentLength > a.MaxBody {
		return a.tooLarge()
	}
	return nil
}

// tooLarge returns the problem of a body over the limit.
func (a *API) tooLarge() *Problem {
	return newProblem("payload-too-large", fmt.Sprintf("the request body is too large: expected at most %d bytes", a.MaxBody))
}

// withoutBOM returns a request body without the byte order mark that some clients
// put before it (RFC 8259, section 8.1).
func withoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// errEncoding says why text is not UTF-8.
func errEncoding(text []byte) error {
	if bytes.HasPrefix(text, []byte{0xff, 0xfe}) || bytes.HasPrefix(text, []byte{0xfe, 0xff}) {
		return errors.New("it begins with the byte order mark of UTF-16: expected UTF-8")
	}
	return errors.New("it has bytes that are not UTF-8")
}

// linger reads and drops the rest of a body that was refused as too large, for
// a client that reads the answer only after it has sent everything: closing the
// connection at once would reset it, and the client would never see the answer.
// The deadline of leftoverTimeout bounds it.
func (w *deadlineWriter) discardBody(r *http.Request) {
	if w.body == nil || w.body.ended.Load() || w.Status() != http.StatusRequestEntityTooLarge || r.ProtoMajor > 1 || r.Header.Get("Expect") != "" {
		return
	}
	_ = w.control.Flush()
	_, _ = io.Copy(io.Discard, w.body.ReadCloser) // what remains closes the connection
}
