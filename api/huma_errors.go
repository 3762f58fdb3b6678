package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs/schema"
)

// transformProblem converts huma's own errors to problems.
func (a *API) transformProblem(ctx huma.Context, _ string, v any) (any, error) {
	model, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	return a.problemOf(model).forRequest(InfoOf(ctx.Context())), nil
}

// problemOf returns the problem for an error of huma.
func (a *API) problemOf(model *huma.ErrorModel) *Problem {
	var errs []schema.ProblemError
	for _, e := range model.Errors {
		errs = append(errs, problemError(e))
	}
	switch model.Status {
	case http.StatusUnprocessableEntity:
		return Invalid(errs)
	case http.StatusRequestEntityTooLarge:
		return a.tooLarge()
	case http.StatusUnsupportedMediaType:
		return NewProblem("unsupported-media-type", "expected application/json")
	case http.StatusNotAcceptable:
		return NewProblem("not-acceptable", "responses are application/json")
	case http.StatusRequestTimeout:
		return NewProblem("request-timeout", "the request took too long to arrive")
	case http.StatusBadRequest:
		return NewProblem("bad-request", model.Detail, errs...)
	default:
		return NewProblem("internal", "internal error")
	}
}

// problemError converts an error of huma and omits long values.
func problemError(e *huma.ErrorDetail) schema.ProblemError {
	p := schema.ProblemError{Location: e.Location, Message: strings.TrimPrefix(e.Message, "invalid value: ")}
	switch v := e.Value.(type) {
	case string:
		if len(v) <= 100 && e.Location != "body" {
			p.Value = v
		}
	case bool, float64, int, int64:
		p.Value = v
	case json.Number:
		if len(v) <= 100 {
			p.Value = v
		}
	}
	return p
}
