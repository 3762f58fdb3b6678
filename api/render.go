package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"

	"coatcheck/jobs"

	"github.com/danielgtaylor/huma/v2"
)

// renderJob returns a job that is shown to a caller as JSON, which nobody may
// change: it is kept for whoever sees the job in the same way. The URLs say who
// that is.
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

// A writtenAnswer is an answer with a job whose body is written by a function.
type renderedAnswer struct {
	Status int
	JobHeaders
	Body func(huma.Context)
}

// written returns the answer with its job rendered, or without a body when the
// job has not changed.
func (answer *jobAnswer) render() (*renderedAnswer, error) {
	w := &renderedAnswer{Status: answer.Status, JobHeaders: answer.JobHeaders}
	if answer.Status == http.StatusNotModified {
		w.Body = func(hc huma.Context) { hc.SetStatus(answer.Status) }
		return w, nil
	}
	body, err := renderJob(&answer.Body)
	if err != nil {
		return nil, err
	}
	w.Body = func(hc huma.Context) {
		hc.SetHeader("Content-Type", jsonType)
		hc.SetStatus(answer.Status)
		out := hc.BodyWriter()
		if _, err := out.Write(body); err == nil {
			_, _ = out.Write([]byte("\n")) // else the caller has left
		}
	}
	return w, nil
}
