package api

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"coatcheck/api/problem"

	"github.com/danielgtaylor/huma/v2"
)

// access is the authorization that an operation requires.
type access int

const (
	public      access = iota
	userOnly           // requires credentials
	tokenOrUser        // {job} is a token, or an id with credentials
)

// operation describes an operation of the API for register.
type operation struct {
	id, method, path, summary, description string
	access                                 access
	status                                 int // without an error; default 200
	tag                                    string
	// offers are the media types of the response; the default is JSON.
	offers []string
	// uploads reports whether the body may be a multipart form.
	uploads bool
	// middleware runs after the others; nil for none.
	middleware func(huma.Context, func(huma.Context))
	more       func(*huma.Operation)
}

// register adds an operation to the router and to the OpenAPI document. It
// converts errors of the operation to problems.
func register[I, O any](a *API, o operation, fn func(context.Context, *I) (*O, error)) {
	op := huma.Operation{
		OperationID: o.id, Method: o.method, Path: o.path, Summary: o.summary, Description: o.description,
		DefaultStatus: o.status, Tags: []string{o.tag}, BodyReadTimeout: a.bodyReadTimeout(),
		MaxBodyBytes:     a.MaxBody + 1, // a body of exactly MaxBody is allowed
		SkipValidateBody: true,          // bodyOf and decode validate the body
		Middlewares:      huma.Middlewares{a.authorize(o.access), a.negotiate(o.offers, o.uploads)},
		Responses: map[string]*huma.Response{"default": {
			Description: "A problem (RFC 9457).",
			Content:     map[string]*huma.MediaType{problem.MediaType: {Schema: &huma.Schema{Ref: "#/components/schemas/Problem"}}},
		}},
	}
	if o.middleware != nil {
		op.Middlewares = append(op.Middlewares, o.middleware)
	}
	switch o.access {
	case userOnly:
		op.Security = []map[string][]string{{"basic": {}}, {"api_key": {}}}
	case tokenOrUser:
		op.Security = []map[string][]string{{}, {"basic": {}}, {"api_key": {}}}
	case public:
		op.Security = []map[string][]string{}
	}
	op.Extensions = map[string]any{"x-problems": codesOf(&o)}
	if o.more != nil {
		o.more(&op)
	}
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := fn(ctx, in)
		if err != nil {
			return nil, a.ProblemOf(ctx, err)
		}
		return out, nil
	})
	if o.method == http.MethodGet {
		describeTimes(a.huma.OpenAPI().Paths[o.path].Get)
	}
	if body, ok := bodies[o.id]; ok {
		a.describeBody(o.path, a.schemas.bodies[body])
	}
}

// submitCodes are the problems of operations that submit jobs.
var submitCodes = []string{"forbidden", "idempotency-key-reused", "rate-limited", "queue-full", "shutting-down"}

// operationCodes are the problems of single operations, by operation id.
var operationCodes = map[string][]string{
	"get-service":          {"forbidden"},
	"cancel-job":           {"already-finished"},
	"retry-job":            append([]string{"not-finished"}, submitCodes...),
	"get-result":           {"job-failed", "job-canceled", "job-expired"},
	"delete-job":           {"not-finished", "deliveries-pending"},
	"create-callback-key":  {"too-many-keys"},
	"rotate-callback-keys": {"too-many-keys"},
	"test-callback":        {"invalid-callback-url"},
	"ready":                {"unavailable", "shutting-down"},
}

// codesOf returns the codes of the problems that an operation can have, without those that any
// request can have, ordered by status.
func codesOf(o *operation) []string {
	codes := map[string]bool{"invalid-input": o.access != public}
	add := func(more ...string) {
		for _, code := range more {
			codes[code] = true
		}
	}
	if o.access != public {
		add("unauthorized")
	}
	if strings.Contains(o.path, "{") {
		add("not-found")
	}
	if strings.Contains(o.path, "{job}") {
		add("job-removed")
	}
	submits := strings.HasPrefix(o.id, "submit-")
	if _, hasBody := bodies[o.id]; o.method == http.MethodPost && (hasBody || submits) {
		add("bad-request", "payload-too-large", "unsupported-media-type")
	}
	if submits {
		add(submitCodes...)
		add("invalid-callback-url")
	}
	if o.uploads {
		add("storage-full")
	}
	add(operationCodes[o.id]...)
	maps.DeleteFunc(codes, func(_ string, possible bool) bool { return !possible })
	return slices.SortedFunc(maps.Keys(codes), problem.CompareCodes)
}
