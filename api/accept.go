package api

import (
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"
)

// Media types of event streams.
const (
	eventStream = "text/event-stream"
	ndjson      = "application/x-ndjson"
)

// jsonType is the media type of most responses.
const jsonType = "application/json"

// negotiate returns middleware that rejects requests whose Accept header
// matches none of the offered media types, and requests whose body is not JSON,
// before the operation runs. The default offers are JSON and problems.
func (a *API) negotiate(offers []string) func(huma.Context, func(huma.Context)) {
	if offers == nil {
		offers = []string{jsonType, problemType}
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		switch {
		case accepted(infoOf(r.Context()).accept(), offers...) == "":
			a.writeProblem(w, r, newProblem("not-acceptable", "this operation offers "+strings.Join(offers, " or ")))
		case r.ContentLength != 0 && r.Method == http.MethodPost && !isJSON(r.Header.Get("Content-Type")):
			a.writeProblem(w, r, errMediaType())
		default:
			if err := a.checkBodyHeaders(r); err != nil {
				a.writeProblem(w, r, err)
				return
			}
			next(ctx)
		}
	}
}

// accept returns the value of the request's Accept header, with all lines
// joined.
func (info *requestInfo) accept() string { return strings.Join(info.header.Values("Accept"), ",") }

// accepted returns the offered media type that the Accept header prefers (RFC
// 9110, section 12.5.1): the one with the highest quality and, among equals,
// the one listed first in the header. For a wildcard, it is the first matching
// offer. accepted returns "" if the header matches no offer.
func accepted(accept string, offers ...string) string {
	if strings.TrimSpace(accept) == "" {
		return offers[0]
	}
	type choice struct {
		media   string
		quality float64
	}
	var choices []choice
	for element := range splitList(accept) {
		media, params, err := mime.ParseMediaType(element)
		if err != nil {
			continue
		}
		quality := 1.0
		if q, err := strconv.ParseFloat(params["q"], 64); err == nil {
			quality = q
		}
		if quality <= 0 {
			offers = slices.DeleteFunc(slices.Clone(offers), func(offer string) bool { return offer == media })
			continue
		}
		choices = append(choices, choice{media, quality})
	}
	best, bestQuality := "", 0.0
	for _, c := range choices {
		matches := func(offer string) bool {
			prefix, wild := strings.CutSuffix(c.media, "*")
			return offer == c.media || wild && (prefix == "*/" || strings.HasPrefix(offer, prefix))
		}
		if i := slices.IndexFunc(offers, matches); i >= 0 && c.quality > bestQuality {
			best, bestQuality = offers[i], c.quality
		}
	}
	return best
}
