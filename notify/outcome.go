package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Class says what an attempt means for the delivery.
type Class int

// The classes of results.
const (
	Retry     Class = iota // may go well another time
	Refused                // the receiver did not want it; a few more attempts
	Throttled              // the receiver asked to wait
	Final                  // would never go well
	Local                  // our own fault: counts as no attempt
	Delivered
)

// maxRetryAfter is the longest wait a receiver can ask for.
const maxRetryAfter = time.Hour

// classifyStatus decides by the answer's status.
func classifyStatus(resp *http.Response) Result {
	status := resp.StatusCode
	r := Result{StatusCode: status, Code: "http_" + strconv.Itoa(status), Message: "the receiver answered " + strconv.Itoa(status)}
	switch {
	case status >= 200 && status < 300:
		r.Class, r.Code, r.Message = Delivered, "ok", ""
	case status >= 300 && status < 400:
		// Following would send body and signature to where nobody checked. A redirect
		// is most likely a mistake in the URL, which another attempt does not mend.
		r.Class, r.Code, r.Message = Refused, "redirect_refused", "the receiver answered "+strconv.Itoa(status)+"; redirects are not followed"
		if to, err := resp.Location(); err == nil {
			r.Message = fmt.Sprintf("the receiver answered %d with the Location %.500q; redirects are not followed: use that URL", status, RedactURL(to.String()))
		}
	case status == http.StatusGone, status == http.StatusRequestEntityTooLarge, status == http.StatusRequestURITooLong, status == http.StatusRequestHeaderFieldsTooLarge:
		r.Class = Final
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		r.RetryAfter = retryAfter(resp.Header, time.Now())
		if status == http.StatusTooManyRequests || r.RetryAfter > 0 {
			r.Class = Throttled
		}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly:
		r.Class = Retry
	case status >= 400 && status < 500:
		r.Class = Refused
	default:
		r.Class = Retry
	}
	return r
}

// classifyError decides by the error of a request without an answer. The
// message says neither URL nor address.
func classifyError(ctx context.Context, err error) Result {
	var (
		dns       *net.DNSError
		verify    *tls.CertificateVerificationError
		alert     tls.AlertError
		record    tls.RecordHeaderError
		op        *net.OpError
		dialing   = errors.As(err, &op) && op.Op == "dial"
		certainly = func(class Class, code, message string) Result {
			return Result{Class: class, Code: code, Message: message}
		}
	)
	switch {
	case errors.Is(err, errProxy):
		return certainly(Local, "proxy_failed", errProxy.Error())
	case errors.Is(err, ErrBlocked):
		return certainly(Final, "blocked_address", "the host's address is private, local or reserved")
	case errors.Is(context.Cause(ctx), errSendTimeout):
		return certainly(Retry, "timeout", errSendTimeout.Error())
	case errors.As(err, &dns) && dns.IsNotFound:
		return certainly(Retry, "dns_not_found", "the host's name does not exist")
	case errors.As(err, &dns):
		return certainly(Retry, "dns_failed", "the host's name could not be looked up")
	case errors.As(err, &verify):
		return certainly(Retry, "tls_certificate", "the receiver's certificate is not valid")
	case errors.As(err, &alert), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return certainly(Retry, "tls_failed", "the TLS handshake went wrong")
	case dialing:
		return certainly(Retry, "connect_failed", "no connection to the receiver")
	default:
		return certainly(Retry, "no_answer", "the connection broke before there was an answer")
	}
}

// retryAfter returns how long a receiver that limits its rate asks to wait, by
// Retry-After (RFC 9110) or else RateLimit-Reset, in seconds, or RateLimit, whose
// parameter t is in seconds (both of draft-ietf-httpapi-ratelimit-headers). At most
// an hour, and 0 if it does not ask.
func retryAfter(h http.Header, now time.Time) time.Duration {
	if wait := parseRetryAfter(h.Get("Retry-After"), now); wait > 0 {
		return wait
	}
	reset := h.Get("RateLimit-Reset")
	for part := range strings.FieldsFuncSeq(h.Get("RateLimit"), func(r rune) bool { return r == ';' || r == ',' }) {
		if t, ok := strings.CutPrefix(strings.TrimSpace(part), "t="); ok && reset == "" {
			reset = t
		}
	}
	return parseRetryAfter(reset, now)
}

// retryDates are the forms of dates that servers send although RFC 9110 has others.
var retryDates = []string{"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 UTC", time.RFC3339, "2006-01-02 15:04:05Z07:00"}

// parseRetryAfter returns how long to wait by a Retry-After header, in
// seconds or as a date (RFC 9110, section 10.2.3): at most an hour, and 0 when
// it says nothing that makes sense. Dates may have other usual forms.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		if !(seconds > 0) {
			return 0
		}
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(s)
	for _, layout := range retryDates {
		if err == nil {
			break
		}
		at, err = time.Parse(layout, s)
	}
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}

// A Schedule is how long to wait before each attempt; it has as many entries
// as there are attempts, the first being 0.
type Schedule []time.Duration

// DefaultSchedule is spread over about a day.
func DefaultSchedule() Schedule {
	return Schedule{0, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour}
}

const (
	// maxRefused is after how many attempts a 4xx is believed.
	maxRefused = 5
	// localDelay is the wait after a fault of our own.
	localDelay = 10 * time.Second
)

// Next returns how long to wait after a number of attempts, the last of which
// had this result, and whether to try again at all. The delays vary by a fifth
// so that what failed together does not come back together.
func (s Schedule) Next(attempts int, r Result) (delay time.Duration, again bool) {
	switch {
	case r.Class == Delivered, r.Class == Final, r.Class == Refused && attempts >= maxRefused:
		return 0, false
	case r.Class == Local:
		delay = localDelay
	case attempts >= len(s):
		return 0, false
	default:
		delay = s[attempts]
	}
	delay += time.Duration((rand.Float64()*0.4 - 0.2) * float64(delay)) //nolint:gosec // chance spreads load here, it keeps no secret
	return max(delay, r.RetryAfter), true
}

// String returns the schedule as in the configuration.
func (s Schedule) String() string {
	return fmt.Sprint([]time.Duration(s))
}
