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

// A Class determines how a result affects the delivery.
type Class int

// The classes of results.
const (
	Retry     Class = iota // may succeed later
	Refused                // rejected by the receiver; a few more attempts
	Throttled              // the receiver requested a delay
	Final                  // would never succeed
	Local                  // our own fault; does not count as an attempt
	Delivered
)

// maxRetryAfter is the longest delay that a receiver can request.
const maxRetryAfter = time.Hour

// classifyStatus classifies a response by its status.
func classifyStatus(resp *http.Response) Result {
	status := resp.StatusCode
	r := Result{
		StatusCode: status, Code: "http_" + strconv.Itoa(status),
		Message: "the receiver answered " + strconv.Itoa(status),
	}
	switch {
	case status >= 200 && status < 300:
		r.Class, r.Code, r.Message = Delivered, "ok", ""
	case status >= 300 && status < 400:
		// Following the redirect would send the body and the signature to an unchecked URL. A
		// redirect is most likely a mistake in the URL, which another attempt does not fix.
		r.Class, r.Code, r.Message = Refused, "redirect_refused", "the receiver answered "+strconv.Itoa(status)+"; redirects are not followed"
		if to, err := resp.Location(); err == nil {
			r.Message = fmt.Sprintf("the receiver answered %d with the Location %.500q; redirects are not followed: use that URL", status, RedactURL(to.String()))
		}
	case status == http.StatusGone, status == http.StatusRequestEntityTooLarge, status == http.StatusRequestURITooLong,
		status == http.StatusRequestHeaderFieldsTooLarge:
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

// classifyError classifies the error of a request without a response. The message contains neither
// URL nor address.
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

// retryAfter returns the delay that a rate-limiting receiver requests. It reads Retry-After (RFC
// 9110) or else RateLimit-Reset, in seconds, or the parameter t of RateLimit, in seconds (both of
// draft-ietf-httpapi-ratelimit-headers). It returns at most an hour, and 0 if there is no request.
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

// retryDates are date formats that servers send although RFC 9110 does not allow them.
var retryDates = []string{
	"Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 UTC", time.RFC3339, "2006-01-02 15:04:05Z07:00",
}

// parseRetryAfter parses a Retry-After header, in seconds or as a date (RFC 9110, section 10.2.3).
// Dates may also have one of retryDates. It returns at most an hour, and 0 if the header is missing
// or invalid.
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

// A Schedule contains the delay before each attempt. It has one entry per attempt; the first is 0.
type Schedule []time.Duration

// DefaultSchedule returns a schedule that is spread over about a day.
func DefaultSchedule() Schedule {
	return Schedule{
		0, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour,
		3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	}
}

const (
	// maxRefused is the number of attempts after which a 4xx is final.
	maxRefused = 5
	// localDelay is the delay after a fault of our own.
	localDelay = 10 * time.Second
)

// Next returns the delay after a number of attempts, the last of which had this result. again is
// false if there is no further attempt. A jitter of ±20% keeps deliveries that failed together from
// being retried together.
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
	delay += time.Duration((rand.Float64()*0.4 - 0.2) * float64(delay)) //nolint:gosec // only spreads load, not security-sensitive
	return max(delay, r.RetryAfter), true
}

// String returns the schedule in the format of the configuration.
func (s Schedule) String() string {
	return fmt.Sprint([]time.Duration(s))
}
