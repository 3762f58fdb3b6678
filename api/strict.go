package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// listHeaders are the headers that are lists: several lines of one are the same
// as one line with commas (RFC 9110, section 5.3).
var listHeaders = []string{"Accept", "If-None-Match", "Prefer"}

// singleHeaders are the headers that are read here and have one value.
var singleHeaders = []string{"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-Id", "Origin", "Referer", "Sec-Fetch-Dest", "Sec-Fetch-Site"}

// repeatable are the query parameters that can be given several times, by path.
// Those with a comma are lists that commas separate.
var repeatable = map[string]map[string]string{
	"/v1/jobs":   {"status": ","},
	"/v1/events": {"job": ""},
}

// unambiguous refuses requests that could be understood in two ways: those in
// which something comes twice that can be there once, and those whose query
// can't be read. Without it, the first value would silently win. Lists that come
// in parts are put together.
func (a *API) unambiguous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := combineHeaders(r.Header)
		if err == nil && r.URL.Path != EnginePath && !strings.HasPrefix(r.URL.Path, EnginePath+"/") { // its queries are its own
			r, err = combineQuery(r)
		}
		switch {
		case err == nil:
			next.ServeHTTP(w, r)
		case strings.HasPrefix(r.Header.Get("Accept"), "text/html"): // a person
			a.problemPage(w, r, err)
		default:
			a.writeProblem(w, r, err)
		}
	})
}

// combineHeaders makes one line of each header that is a list.
func combineHeaders(h http.Header) error {
	for _, name := range listHeaders {
		if lines := h[name]; len(lines) > 1 {
			h.Set(name, strings.Join(lines, ", "))
		}
	}
	var errs []ProblemError
	for _, name := range singleHeaders {
		if len(h[name]) > 1 {
			errs = append(errs, ProblemError{Location: "header." + name, Message: "expected the header once"})
		}
	}
	if errs != nil {
		return newProblem("bad-request", "a header comes several times", errs...)
	}
	return nil
}

// combineQuery makes one of each parameter that is a list with commas, and
// returns the request with that query.
func combineQuery(r *http.Request) (*http.Request, error) {
	values, separators := r.URL.Query(), repeatable[r.URL.Path]
	errs := append(malformed(r.URL.RawQuery), repeatedNames("query", values, separators)...)
	if errs != nil {
		return r, invalid(errs[:min(len(errs), maxMistakes)])
	}
	combined := false
	for name, separator := range separators {
		if separator != "" && len(values[name]) > 1 {
			values.Set(name, strings.Join(values[name], separator))
			combined = true
		}
	}
	if !combined {
		return r, nil
	}
	u := *r.URL
	u.RawQuery = values.Encode()
	r = r.WithContext(r.Context()) // a copy
	r.URL = &u
	return r, nil
}

// repeatedNames returns the mistake of each name that has several values and is
// not one of those that may.
func repeatedNames(at string, values url.Values, may map[string]string) (errs []ProblemError) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := may[name]; !ok && len(values[name]) > 1 && len(errs) < maxMistakes {
			errs = append(errs, ProblemError{Location: at + "." + clipped(name), Message: fmt.Sprintf("expected one value, not %d", len(values[name]))})
		}
	}
	return errs
}

// malformed returns the mistakes in the form of a query.
func malformed(query string) (errs []ProblemError) {
	if _, err := url.ParseQuery(query); err == nil {
		return nil
	}
	for part := range strings.SplitSeq(query, "&") {
		raw, value, _ := strings.Cut(part, "=")
		location := "query"
		name, err := url.QueryUnescape(raw)
		if err == nil && !strings.Contains(raw, ";") {
			location += "." + clipped(name)
		}
		if strings.Contains(part, ";") {
			errs = append(errs, ProblemError{Location: location, Message: "expected parameters that are separated by &, and %3B for a semicolon"})
		} else if _, wrong := url.QueryUnescape(value); err != nil || wrong != nil {
			errs = append(errs, ProblemError{Location: location, Message: "expected percent signs with two hexadecimal digits after them, and %25 for the sign itself"})
		}
		if len(errs) == maxMistakes {
			break
		}
	}
	if errs == nil {
		errs = append(errs, ProblemError{Location: "query", Message: "expected names and values, separated by &"})
	}
	return errs
}
