package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs"
)

// renderJob returns the JSON of a job. The result is cached and shared by all
// callers that see the job in the same form, so it must not be modified. The
// status URL and the presence of the input identify the form.
func renderJob(job *jobs.Job) ([]byte, error) {
	form := job.StatusURL
	if job.Input != nil {
		form += " input"
	}
	return job.Rendered(form, func(j *jobs.Job) ([]byte, error) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(j); err != nil {
			return nil, fmt.Errorf("render job: %w", err)
		}
		return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
	})
}

// A renderedResponse is a response with a job that is already encoded as JSON.
type renderedResponse struct {
	Status int
	JobHeaders
	Body func(huma.Context)
}

// render encodes the job of the response, or returns a response without a body
// if the job has not changed.
func (response *jobResponse) render() (*renderedResponse, error) {
	w := &renderedResponse{Status: response.Status, JobHeaders: response.JobHeaders}
	if response.Status == http.StatusNotModified {
		w.Body = func(hc huma.Context) { hc.SetStatus(response.Status) }
		return w, nil
	}
	body, err := renderJob(&response.Body)
	if err != nil {
		return nil, err
	}
	w.Body = func(hc huma.Context) {
		hc.SetHeader("Content-Type", jsonType)
		hc.SetStatus(response.Status)
		out := hc.BodyWriter()
		if _, err := out.Write(body); err == nil {
			_, _ = out.Write([]byte("\n")) // a failure means that the client has disconnected
		}
	}
	return w, nil
}
