package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"coatcheck/api/document"
	"coatcheck/api/problem"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// Media types of event streams.
const (
	eventStream = document.EventStream
	ndjson      = document.NDJSON
)

const (
	// jsonType is the media type of most responses.
	jsonType = "application/json"
	// anyType is the offer of an operation that negotiates by itself.
	anyType = "*"
)

// negotiate returns middleware that rejects requests whose Accept header
// matches none of the offered media types, and requests whose body is not JSON,
// or a multipart form if uploads are allowed, before the operation runs. The
// default offers are JSON and problems.
func (a *API) negotiate(offers []string, uploads bool) func(huma.Context, func(huma.Context)) {
	if offers == nil {
		offers = []string{jsonType, problem.MediaType}
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		switch {
		case offers[0] == anyType:
			next(ctx)
		case accepted(InfoOf(r.Context()).accept(), offers...) == "":
			a.WriteProblem(w, r, problem.New("not-acceptable", "this operation offers "+strings.Join(offers, " or ")))
		case r.ContentLength != 0 && r.Method == http.MethodPost && !isJSON(r.Header.Get("Content-Type")):
			if !uploads || !IsMultipart(r) {
				p := errMediaType()
				if uploads {
					p.Detail = "expected a JSON body with Content-Type: application/json, or multipart/form-data"
				}
				a.WriteProblem(w, r, p)
				return
			}
			if err := a.CheckBodyHeaders(r); err != nil {
				a.WriteProblem(w, r, err)
				return
			}
			next(ctx)
		default:
			if err := a.CheckBodyHeaders(r); err != nil {
				a.WriteProblem(w, r, err)
				return
			}
			next(ctx)
		}
	}
}

// accept returns the value of the request's Accept header, with all lines
// joined.
func (info *RequestInfo) accept() string { return strings.Join(info.header.Values("Accept"), ",") }

// accepted returns the offered media type that the Accept header prefers (RFC
// 9110, section 12.5.1): the one with the highest quality and, among equals,
// the one whose media range is first in the header, then the first offer. The
// most specific range that matches an offer decides about its quality. accepted
// returns "" if the header matches no offer.
func accepted(accept string, offers ...string) string {
	if strings.TrimSpace(accept) == "" {
		return offers[0]
	}
	var ranges []mediaRange
	for element := range splitList(accept) {
		if r, ok := parseMediaRange(element); ok {
			ranges = append(ranges, r)
		}
	}
	best, first, quality := "", 0, 0.0
	for _, offer := range offers {
		at := -1
		for i, r := range ranges {
			if r.matches(offer) && (at < 0 || len(r.prefix) > len(ranges[at].prefix)) {
				at = i
			}
		}
		if at < 0 || ranges[at].quality <= 0 {
			continue
		}
		if q := ranges[at].quality; q > quality || q == quality && at < first {
			best, first, quality = offer, at, q
		}
	}
	return best
}

// A mediaRange is an element of an Accept header, such as text/*;q=0.5.
type mediaRange struct {
	prefix  string // of the media types that it matches; the longer, the more specific
	exact   bool   // the prefix is the whole media type
	quality float64
}

func parseMediaRange(element string) (r mediaRange, ok bool) {
	media, params, err := mime.ParseMediaType(element)
	if err != nil {
		return r, false
	}
	r.quality = 1
	if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
		r.quality = q
	}
	prefix, wildcard := strings.CutSuffix(media, "*")
	r.prefix, r.exact = strings.TrimPrefix(prefix, "*/"), !wildcard
	return r, true
}

func (r mediaRange) matches(offer string) bool {
	return offer == r.prefix || !r.exact && strings.HasPrefix(offer, r.prefix)
}

// maxWait is the maximum duration of a long poll. Proxies commonly time out
// after 60 seconds; the response must be earlier.
const maxWait = 55 * time.Second

// waitPreference returns the wait preference of a Prefer header (RFC 7240,
// section 4.3), at most [maxWait]. It reports false without a valid preference:
// as the RFC requires, invalid ones are ignored. Only the first wait preference
// counts.
func waitPreference(lines []string) (time.Duration, bool) {
	for preference := range splitList(strings.Join(lines, ",")) {
		token, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(token, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		var seconds int64
		if value == "" || len(value) > 9 {
			return 0, false
		}
		for _, c := range value {
			if c < '0' || c > '9' {
				return 0, false
			}
			seconds = 10*seconds + int64(c-'0')
		}
		return min(time.Duration(seconds)*time.Second, maxWait), true
	}
	return 0, false
}

// splitList yields the elements of a list, separated by commas outside of
// quotes (RFC 9110, section 5.6).
func splitList(s string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		start, quoted := 0, false
		for i := 0; i < len(s); i++ {
			switch {
			case quoted && s[i] == '\\':
				i++
			case s[i] == '"':
				quoted = !quoted
			case s[i] == ',' && !quoted:
				if !yield(s[start:i]) {
					return
				}
				start = i + 1
			}
		}
		yield(s[start:])
	}
}
