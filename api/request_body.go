package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"

	"coatcheck/api/problem"
	"coatcheck/jobs/schema"
)

// CheckBodyHeaders returns a problem if the headers of the request already show
// that its body is not acceptable. A client that waits for 100 Continue then
// never sends the body.
func (a *API) CheckBodyHeaders(r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	for coding := range strings.SplitSeq(strings.Join(r.Header.Values("Content-Encoding"), ","), ",") {
		if coding = strings.TrimSpace(coding); coding != "" && !strings.EqualFold(coding, "identity") {
			p := problem.New("unsupported-media-type",
				"expected an uncompressed body, not Content-Encoding: "+schema.Truncate(coding))
			p.GetHeaders().Set("Accept-Encoding", "identity") // RFC 9110, section 15.5.16
			return p
		}
	}
	if r.ContentLength > a.MaxBody && !IsMultipart(r) {
		return a.tooLarge()
	}
	return nil
}

// tooLarge returns the problem of a body larger than MaxBody.
func (a *API) tooLarge() *problem.Problem {
	return problem.New("payload-too-large",
		fmt.Sprintf("the request body is too large: expected at most %d bytes", a.MaxBody))
}

// withoutBOM removes the byte order mark that some clients prepend to a body
// (RFC 8259, section 8.1).
func withoutBOM(text []byte) []byte { return bytes.TrimPrefix(text, []byte("\ufeff")) }

// discardBody reads and discards the rest of a body that was rejected as too
// large, or of a rejected form, which may have large files, for clients that
// send everything before they read the response. Closing the connection immediately would reset it, and such a client would
// never see the response. discardTimeout limits the time.
func (w *deadlineWriter) discardBody(r *http.Request) {
	rejected := w.Status() == http.StatusRequestEntityTooLarge || w.Status() >= http.StatusBadRequest && IsMultipart(r)
	if w.body == nil || w.body.ended.Load() || !rejected || r.ProtoMajor > 1 || r.Header.Get("Expect") != "" {
		return
	}
	w.body.timeout = 0 // the deadline set by WriteHeader stays
	_ = w.control.Flush()
	_, _ = io.Copy(io.Discard, w.body.ReadCloser) // if data remains, net/http closes the connection
}
