package api

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"coatcheck/api/problem"
	"coatcheck/jobs/schema"
)

// listHeaders are list-based headers: several lines are equivalent to one line
// with commas (RFC 9110, section 5.3).
var listHeaders = []string{"Accept", "If-None-Match", "Prefer"}

// singleHeaders are the headers used by the server that have a single value.
var singleHeaders = []string{
	"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-Id", "Origin", "Referer", "Sec-Fetch-Dest",
	"Sec-Fetch-Site",
}

// repeatableParams are the query parameters that can be repeated, by path and
// name. The value is the separator that joins repeated values, or "" if the
// operation reads them one by one.
var repeatableParams = map[string]map[string]string{
	"/v1/jobs":    {"status": ","},
	"/v1/events":  {"job": ""},
	"/jobs":       {"id": ""},
	"/deliveries": {"id": ""},
}

// rejectAmbiguous rejects requests that repeat a parameter or header with a
// single value, of which the first would silently win. It also rejects
// malformed queries, whose malformed part would be ignored. It joins lists that
// are split over several parameters or header lines.
func (a *API) rejectAmbiguous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := combineHeaders(r.Header)
		isEngine := r.URL.Path == EnginePath || strings.HasPrefix(r.URL.Path, EnginePath+"/")
		if err == nil && !isEngine { // River's UI repeats parameters
			r, err = combineQuery(r)
		}
		switch {
		case err == nil:
			next.ServeHTTP(w, r)
		case strings.HasPrefix(r.Header.Get("Accept"), "text/html"): // a browser
			a.ProblemPage(w, r, err)
		default:
			a.WriteProblem(w, r, err)
		}
	})
}

// combineHeaders joins the lines of list-based headers.
func combineHeaders(h http.Header) error {
	for _, name := range listHeaders {
		if lines := h[name]; len(lines) > 1 {
			h.Set(name, strings.Join(lines, ", "))
		}
	}
	var errs []schema.ProblemError
	for _, name := range singleHeaders {
		if len(h[name]) > 1 {
			errs = append(errs, schema.ProblemError{Location: "header." + name, Message: "expected the header once"})
		}
	}
	if errs != nil {
		return problem.New("bad-request", "a header that allows one value is repeated", errs...)
	}
	return nil
}

// combineQuery returns the request with the values of repeatable parameters
// joined.
func combineQuery(r *http.Request) (*http.Request, error) {
	if r.URL.RawQuery == "" {
		return r, nil
	}
	values, separators := r.URL.Query(), repeatableParams[r.URL.Path]
	errs := append(malformed(r.URL.RawQuery), RepeatedNames("query", values, separators)...)
	if errs != nil {
		return r, problem.Invalid(errs[:min(len(errs), schema.MaxErrors)])
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
	r = r.WithContext(r.Context()) // shallow copy
	r.URL = &u
	return r, nil
}

// RepeatedNames returns an error for each name with several values, unless the
// name is repeatable.
func RepeatedNames(at string, values url.Values, repeatable map[string]string) (errs []schema.ProblemError) {
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if _, ok := repeatable[name]; !ok && len(values[name]) > 1 && len(errs) < schema.MaxErrors {
			errs = append(errs, schema.ProblemError{
				Location: at + "." + displayName(name),
				Message:  fmt.Sprintf("expected one value, not %d", len(values[name])),
			})
		}
	}
	return errs
}

// displayName returns a parameter name as it appears in error locations.
func displayName(name string) string { return schema.Truncate(strings.ToValidUTF8(name, "\uFFFD")) }

// malformed returns the syntax errors of a query.
func malformed(query string) (errs []schema.ProblemError) {
	if _, err := url.ParseQuery(query); err == nil {
		return nil
	}
	for part := range strings.SplitSeq(query, "&") {
		raw, value, _ := strings.Cut(part, "=")
		location := "query"
		name, err := url.QueryUnescape(raw)
		if err == nil && !strings.Contains(raw, ";") {
			location += "." + displayName(name)
		}
		if strings.Contains(part, ";") {
			errs = append(errs, schema.ProblemError{
				Location: location, Message: "expected parameters separated by &, and %3B for a semicolon in a value",
			})
		} else if _, valueErr := url.QueryUnescape(value); err != nil || valueErr != nil {
			errs = append(errs, schema.ProblemError{
				Location: location,
				Message:  "expected two hexadecimal digits after each percent sign, and %25 for a percent sign",
			})
		}
		if len(errs) == schema.MaxErrors {
			break
		}
	}
	if errs == nil {
		errs = append(errs, schema.ProblemError{Location: "query", Message: "expected fewer parameters"})
	}
	return errs
}
