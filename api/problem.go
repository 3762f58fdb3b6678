package api

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"coatcheck/api/auth"
	"coatcheck/jobs/schema"
	"coatcheck/jobs/store"
)

// problemType is the media type of problem details (RFC 9457).
const problemType = "application/problem+json"

// A Problem is an error response (RFC 9457). It implements error.
type Problem struct { //nolint:errname // the term of the RFC
	Type      string                `json:"type" format:"uri-reference" doc:"Names the kind of problem."`
	Title     string                `json:"title"`
	Status    int                   `json:"status"`
	Detail    string                `json:"detail,omitempty" doc:"What is wrong here, and what would be right."`
	Code      string                `json:"code" doc:"The kind of problem, for programs."`
	Instance  string                `json:"instance" format:"uri-reference" doc:"The path of the request."`
	RequestID string                `json:"request_id" doc:"Stands in the server's log too."`
	Errors    []schema.ProblemError `json:"errors,omitempty" nullable:"false" doc:"All mistakes of the request."`

	header http.Header
}

// Error implements error.
func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus implements [huma.StatusError].
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements [huma.HeadersError].
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements [huma.ContentTypeFilter].
func (p *Problem) ContentType(string) string { return problemType }

// statusOf maps the code of each problem to its HTTP status.
var statusOf = map[string]int{
	"bad-request":            http.StatusBadRequest,
	"unauthorized":           http.StatusUnauthorized,
	"forbidden":              http.StatusForbidden,
	"not-found":              http.StatusNotFound,
	"method-not-allowed":     http.StatusMethodNotAllowed,
	"not-acceptable":         http.StatusNotAcceptable,
	"request-timeout":        http.StatusRequestTimeout,
	"already-finished":       http.StatusConflict,
	"not-finished":           http.StatusConflict,
	"job-failed":             http.StatusConflict,
	"job-canceled":           http.StatusConflict,
	"job-expired":            http.StatusConflict,
	"deliveries-pending":     http.StatusConflict,
	"too-many-keys":          http.StatusConflict,
	"job-removed":            http.StatusGone,
	"payload-too-large":      http.StatusRequestEntityTooLarge,
	"unsupported-media-type": http.StatusUnsupportedMediaType,
	"unknown-host":           http.StatusMisdirectedRequest,
	"invalid-input":          http.StatusUnprocessableEntity,
	"invalid-callback-url":   http.StatusUnprocessableEntity,
	"idempotency-key-reused": http.StatusUnprocessableEntity,
	"rate-limited":           http.StatusTooManyRequests,
	"queue-full":             http.StatusTooManyRequests,
	"internal":               http.StatusInternalServerError,
	"shutting-down":          http.StatusServiceUnavailable,
	"storage-full":           http.StatusInsufficientStorage,
	"unavailable":            http.StatusServiceUnavailable,
}

// NewProblem returns a problem that is not yet bound to a request; see
// forRequest.
func NewProblem(code, detail string, errs ...schema.ProblemError) *Problem {
	title := strings.ToUpper(code[:1]) + strings.ReplaceAll(code[1:], "-", " ")
	return &Problem{
		Type: "/problems/" + code, Title: title, Status: statusOf[code], Detail: detail, Code: code, Errors: errs,
		header: make(http.Header),
	}
}

// retryAfter adds a Retry-After header, in whole seconds and at least 1.
func (p *Problem) retryAfter(wait time.Duration) *Problem {
	p.header.Set("Retry-After", strconv.Itoa(max(1, int(wait.Seconds()))))
	return p
}

// forRequest sets the fields that depend on the request.
func (p *Problem) forRequest(info *RequestInfo) *Problem {
	p.Type = info.BaseURL + "/problems/" + p.Code
	p.Instance = info.path
	p.RequestID = info.ID
	return p
}

// WriteProblem responds with a problem, for handlers outside of huma.
func (a *API) WriteProblem(w http.ResponseWriter, r *http.Request, cause error) {
	p := a.ProblemOf(r.Context(), cause)
	maps.Copy(w.Header(), p.header)
	if p.Status == http.StatusUnauthorized && r.Header.Get("Sec-Fetch-Dest") == "empty" {
		// A Basic challenge in the response to a script would make the browser
		// open a login dialog on the page.
		w.Header().Set("WWW-Authenticate", `Bearer realm="Authentication Required"`)
	}
	text, err := store.Marshal(p)
	if err != nil {
		a.Logger.ErrorContext(r.Context(), "rendering problem failed", "err", err)
	}
	text = append(text, '\n')
	w.Header().Set("Content-Type", problemType)
	// A client that is still sending its request knows from the length that the response is complete.
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(p.Status)
	//nolint:gosec // no browser takes JSON for HTML: it is sent with nosniff
	if _, err := w.Write(text); err != nil && r.Context().Err() == nil {
		a.Logger.DebugContext(r.Context(), "problem not sent", "err", err)
	}
}

// ProblemPage responds with a page that describes the error, for browsers. If
// this API has no pages, it responds like writeProblem.
func (a *API) ProblemPage(w http.ResponseWriter, r *http.Request, err error) {
	if a.ProblemPages == nil {
		a.WriteProblem(w, r, err)
		return
	}
	a.ProblemPages(w, r, a.ProblemOf(r.Context(), err))
}

func (a *API) notFound(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Accept"), "text/html") { // a browser
		if err := a.Authenticate(r); err != nil {
			InfoOf(r.Context()).User = auth.User{} // unauthenticated users get the page too
		}
		a.ProblemPage(w, r, NewProblem("not-found", "Page not found."))
		return
	}
	a.WriteProblem(w, r, NewProblem("not-found", "path not found; GET /docs lists the operations"))
}

func (a *API) methodNotAllowed(w http.ResponseWriter, r *http.Request) {
	var allowed []string
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		route := chi.NewRouteContext()
		if !a.router.Match(route, method, r.URL.Path) {
			continue
		}
		if method != http.MethodHead || !slices.Contains(skeletonStarts, route.RoutePattern()) {
			allowed = append(allowed, method)
		}
	}
	slices.Sort(allowed)
	p := NewProblem("method-not-allowed", "this path allows "+strings.Join(allowed, ", "))
	p.header.Set("Allow", strings.Join(allowed, ", "))
	a.WriteProblem(w, r, p)
}
