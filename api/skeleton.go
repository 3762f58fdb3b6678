package api

import (
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/go-chi/chi/v5"

	"coatcheck/api/auth"
	"coatcheck/jobs"
)

// skeletonStarts are the routes on which a GET request submits a job.
var skeletonStarts = []string{"/sleep/{amount}", "/math/{a}/{b}"}

// addSkeleton adds the routes of the Python skeleton that this program is based
// on, with compatible responses for its clients.
func (a *API) addSkeleton() {
	a.router.Group(func(r chi.Router) {
		r.Use(a.origin.RefuseCrossSite, a.authorizeSkeleton(a.authenticateHeader))
		r.Get("/sleep/{amount}", a.skeletonSleep)
		r.Get("/math/{a}/{b}", a.skeletonMath)
	})
	a.router.With(a.authorizeSkeleton(a.Authenticate)).Get("/tasks/{id}", a.skeletonTask)
	for _, path := range []string{"/sleep/{amount}", "/math/{a}/{b}", "/tasks/{id}"} {
		a.router.Options(path,
			func(w http.ResponseWriter, r *http.Request) { a.writeSkeleton(w, r, http.StatusOK, struct{}{}) })
	}
	for _, path := range skeletonStarts { // a HEAD request must not submit a job as GET does
		a.router.Head(path, a.methodNotAllowed)
	}
}

// authorizeSkeleton returns middleware that authenticates requests and responds
// to failures as Flask-HTTPAuth does.
func (a *API) authorizeSkeleton(authenticate func(*http.Request) error) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			err := authenticate(r)
			switch {
			case err == nil:
				next.ServeHTTP(w, r)
			case errors.Is(err, auth.ErrNoCredentials), errors.Is(err, auth.ErrBadCredentials):
				w.Header().Set("WWW-Authenticate", auth.Challenge)
				w.Header().Set("Content-Type", "text/html; charset=utf-8")
				w.WriteHeader(http.StatusUnauthorized)
				w.Write([]byte("Unauthorized Access"))
			default:
				a.skeletonError(w, r, err)
			}
		})
	}
}

// digits matches the numbers that the skeleton's routes accept, as Flask's int
// converter does.
var digits = regexp.MustCompile(`^[0-9]{1,1000}$`)

func (a *API) skeletonSleep(w http.ResponseWriter, r *http.Request) {
	if len(r.PathValue("amount")) > 15 { // longer than any job may run
		a.skeletonError(w, r, jobs.ErrNotFound)
		return
	}
	a.skeletonSubmit(w, r, jobs.Submission{Service: "sleep"}, "seconds", r.PathValue("amount"))
}

// skeletonMath adds a and b, and then 100 to the sum.
func (a *API) skeletonMath(w http.ResponseWriter, r *http.Request) {
	a.skeletonSubmit(w, r, jobs.Submission{
		Service: "maths.add",
		Then:    []jobs.NextStep{{Service: "maths.add", Input: json.RawMessage(`{"a":100,"b":{"$output":""}}`)}},
	}, "a", r.PathValue("a"), "b", r.PathValue("b"))
}

// skeletonSubmit submits a job and responds as the skeleton did. The job's
// input has the numbers, given as pairs of names and values.
func (a *API) skeletonSubmit(w http.ResponseWriter, r *http.Request, s jobs.Submission, numbers ...string) {
	input := make(map[string]any)
	for pair := range slices.Chunk(numbers, 2) {
		if !digits.MatchString(pair[1]) {
			a.skeletonError(w, r, jobs.ErrNotFound)
			return
		}
		input[pair[0]] = json.Number(strings.TrimLeft(pair[1][:len(pair[1])-1], "0") + pair[1][len(pair[1])-1:])
	}
	body, err := json.Marshal(map[string]any{"input": input})
	if err != nil {
		a.skeletonError(w, r, err)
		return
	}
	info := InfoOf(r.Context())
	job, _, err := a.SubmitJob(r.Context(), func() (jobs.Submission, error) {
		checked, err := a.Decode(r.Context(), s.Service, "application/json", body)
		s.Input, s.Owner, s.BaseURL = checked.Input, info.User.Name, info.BaseURL
		return s, err
	})
	if err != nil {
		a.skeletonError(w, r, err)
		return
	}
	job = job.Opened(info.BaseURL)
	a.writeSkeleton(w, r, http.StatusAccepted, skeletonMessage{
		Message: "process started", TaskID: job.ID, Status: http.StatusAccepted, StatusURL: job.StatusURL,
		EventsURL: job.EventsURL,
	})
}

// skeletonTask responds with the state of a job, in Celery's terms.
func (a *API) skeletonTask(w http.ResponseWriter, r *http.Request) {
	job, err := a.FindJob(r.Context(), r.PathValue("id"))
	if err == nil {
		err = a.LoadOutput(r.Context(), &job)
	}
	if err != nil {
		a.skeletonError(w, r, err)
		return
	}
	result := job.Output
	if job.Error != nil && job.Done {
		if result, err = json.Marshal(job.Error.Message); err != nil {
			a.skeletonError(w, r, err)
			return
		}
	}
	a.writeSkeleton(w, r, http.StatusOK, struct {
		ID     string          `json:"task_id"`
		Status string          `json:"task_status"`
		Result json.RawMessage `json:"task_result"`
	}{r.PathValue("id"), celeryStatus(job.Status), result})
}

// celeryStatus returns the Celery state for a status.
func celeryStatus(status jobs.Status) string {
	switch status {
	case jobs.Running:
		return "STARTED"
	case jobs.Retrying:
		return "RETRY"
	case jobs.Succeeded:
		return "SUCCESS"
	case jobs.Failed:
		return "FAILURE"
	case jobs.Canceled, jobs.Expired:
		return "REVOKED"
	default:
		return "PENDING"
	}
}

// skeletonError responds as the skeleton's error handlers did.
func (a *API) skeletonError(w http.ResponseWriter, r *http.Request, err error) {
	p := a.ProblemOf(r.Context(), err)
	maps.Copy(w.Header(), p.GetHeaders())
	message := p.Detail
	switch p.Status {
	case http.StatusNotFound:
		message = "Not Found"
	case http.StatusInternalServerError:
		message = "Internal Server Error"
	}
	a.writeSkeleton(w, r, p.Status, skeletonMessage{Message: message, Status: p.Status})
}

type skeletonMessage struct {
	Message   string `json:"msg"`
	TaskID    string `json:"task_id,omitempty"`
	Status    int    `json:"status"`
	StatusURL string `json:"status_url,omitempty"`
	EventsURL string `json:"events_url,omitempty"`
}

func (a *API) writeSkeleton(w http.ResponseWriter, r *http.Request, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil && r.Context().Err() == nil {
		a.Logger.DebugContext(r.Context(), "response not sent", "err", err)
	}
}
