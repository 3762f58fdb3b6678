package api

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/problem"
	"coatcheck/jobs"
)

// A Service describes a service to clients.
type Service struct {
	Name        string          `json:"name"`
	Summary     string          `json:"summary"`
	Input       json.RawMessage `json:"input_schema" doc:"The JSON Schema of the input."`
	Output      json.RawMessage `json:"output_schema" doc:"The JSON Schema of the output."`
	Timeout     string          `json:"timeout" doc:"How long an attempt may take unless the caller says otherwise." example:"15m0s"`
	MaxAttempts int             `json:"max_attempts" doc:"How often a job is tried unless the caller says otherwise."`
	SubmitURL   string          `json:"submit_url" format:"uri" doc:"Takes jobs (POST)."`
}

type serviceList struct {
	Body struct {
		Data []Service `json:"data" nullable:"false"`
	}
}

type serviceResponse struct{ Body Service }

// addServices adds the operations that describe services and submit jobs to
// them.
func (a *API) addServices() {
	register(a, operation{
		id: "list-services", method: http.MethodGet, path: "/v1/services", summary: "List services",
		access: userOnly, tag: "services",
	}, func(ctx context.Context, _ *struct{}) (*serviceList, error) {
		list := new(serviceList)
		list.Body.Data = []Service{}
		for s := range a.ServicesOf(ctx) {
			d, err := a.Describe(ctx, s)
			if err != nil {
				return nil, err
			}
			list.Body.Data = append(list.Body.Data, d)
		}
		return list, nil
	})
	register(a, operation{
		id: "get-service", method: http.MethodGet, path: "/v1/services/{service}", summary: "Describe a service",
		access: userOnly, tag: "services",
	}, func(ctx context.Context, req *struct {
		Service string `path:"service" example:"sleep"`
	},
	) (*serviceResponse, error) {
		s, err := a.Service(ctx, req.Service)
		if err != nil {
			return nil, err
		}
		d, err := a.Describe(ctx, s)
		if err != nil {
			return nil, err
		}
		return &serviceResponse{d}, nil
	})
	for s := range a.Services.All() {
		a.addSubmit(s)
	}
	// The fallback for unknown services.
	register(a, operation{
		id: "submit", method: http.MethodPost, path: "/v1/services/{service}/jobs", access: userOnly, tag: "services",
		more: func(op *huma.Operation) { op.Hidden = true },
	}, func(context.Context, *struct {
		Service string `path:"service"`
	},
	) (*jobResponse, error) {
		return nil, jobs.ErrUnknownService
	})
}

// Service returns the service with this name if the caller may run it.
func (a *API) Service(ctx context.Context, name string) (*jobs.Service, error) {
	s := a.Services.Get(name)
	if s == nil {
		return nil, jobs.ErrUnknownService
	}
	if !InfoOf(ctx).User.MayRun(name) {
		return nil, problem.New("forbidden",
			fmt.Sprintf("you may not run %s; GET /v1/services lists the services that you may run", name))
	}
	return s, nil
}

// ServicesOf yields the services that the caller may run.
func (a *API) ServicesOf(ctx context.Context) iter.Seq[*jobs.Service] {
	return func(yield func(*jobs.Service) bool) {
		for s := range a.Services.All() {
			if InfoOf(ctx).User.MayRun(s.Name) && !yield(s) {
				return
			}
		}
	}
}

// Describe returns the description of a service for clients.
func (a *API) Describe(ctx context.Context, s *jobs.Service) (Service, error) {
	input, err := a.Validator.Standalone(a.Validator.Input(s.Name))
	if err != nil {
		return Service{}, fmt.Errorf("describe %s: %w", s.Name, err)
	}
	output, err := a.Validator.Standalone(a.Validator.Output(s.Name))
	if err != nil {
		return Service{}, fmt.Errorf("describe %s: %w", s.Name, err)
	}
	return Service{
		Name: s.Name, Summary: s.Summary, Input: input, Output: output, Timeout: s.Timeout.String(),
		MaxAttempts: s.MaxAttempts,
		SubmitURL:   InfoOf(ctx).BaseURL + "/v1/services/" + s.Name + "/jobs",
	}, nil
}
