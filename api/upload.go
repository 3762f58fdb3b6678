package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/keys"
)

// A Form is a submission as a multipart form (RFC 7578). Its files are stored already.
type Form struct {
	// Values are the fields that are no files.
	Values url.Values

	files   map[string][]string // ids of the files, by the properties of the input
	jobID   string              // of the job to be submitted
	uploads map[string]jobs.File
	submits bool // whether the files belong to a job from now on
	// fingerprinted is the JSON body with the contents of the files in place of their ids.
	fingerprinted []byte
}

// Refs returns what stands for the files in the input, by their properties. It has none if f is nil.
func (f *Form) Refs() map[string][]string {
	if f == nil {
		return nil
	}
	return f.files
}

// Contents is Refs with texts that are equal for equal files.
func (f *Form) Contents() map[string][]string {
	contents := make(map[string][]string)
	for name, ids := range f.Refs() {
		for _, id := range ids {
			file := f.uploads[id]
			contents[name] = append(contents[name], strings.Join([]string{file.SHA256, file.ContentType, file.Name}, " "))
		}
	}
	return contents
}

// multipartType is the media type of a submission with files.
const multipartType = "multipart/form-data"

// maxFields is how many fields a form may have besides its files.
const maxFields = 200

// IsMultipart reports whether the request has a multipart form.
func IsMultipart(r *http.Request) bool {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && media == multipartType
}

// ReadForm reads the multipart form of a submission to the service and stores its files. They are
// deleted at the end of the request unless [API.SubmitJob] submits a job. A file is the part with
// the name of its property, with or without the prefix "input.".
func (a *API) ReadForm(r *http.Request, service string) (_ *Form, err error) {
	if a.Files == nil {
		return nil, jobs.ErrNoFiles
	}
	if limit := a.formLimit(service); r.ContentLength > limit {
		return nil, problem.New("payload-too-large", fmt.Sprintf("the request body is too large: expected at most %d bytes", limit))
	}
	parts, err := r.MultipartReader()
	if err != nil {
		return nil, problem.New("bad-request", "the multipart body is malformed: "+err.Error())
	}
	if body, ok := r.Body.(*deadlineBody); ok {
		body.allowLarge(a.BodyTimeout)
	}
	f := &Form{Values: make(url.Values), files: make(map[string][]string), uploads: make(map[string]jobs.File)}
	if f.jobID, err = keys.NewID("job_"); err != nil {
		return nil, err
	}
	info := InfoOf(r.Context())
	if err := a.CheckMaySubmit(r.Context()); err != nil { // before the server takes large files
		return nil, err
	}
	info.maySubmit = true
	info.form = f
	info.onEnd = append(info.onEnd, func() { a.discard(f) }) // also after a panic
	defer func() {
		if err != nil {
			a.discard(f)
		}
	}()
	reader := &formReader{api: a, form: f, files: a.Validator.Files(service), rest: a.MaxBody}
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && n > 0 {
			break
		}
		if errors.Is(err, io.EOF) {
			return nil, problem.New("bad-request", "the multipart body has no part with the boundary that its Content-Type names")
		}
		if err != nil {
			return nil, formError(r.Context(), err)
		}
		if err := reader.read(r.Context(), part); err != nil {
			return nil, err
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxEpilogue))
	return f, nil
}

// formLimit returns the maximum size of a form for the service in bytes.
func (a *API) formLimit(service string) int64 {
	count := int64(0)
	for _, list := range a.Validator.Files(service) {
		if count++; list {
			count = jobs.MaxUploads
			break
		}
	}
	return a.MaxBody + count*a.Files.MaxFile()
}

// maxEpilogue is how many bytes after the last part are read, so that the connection can be reused.
const maxEpilogue = 4 << 10

// discardTime limits how long the files of a form are deleted. A sweep deletes the rest.
const discardTime = 10 * time.Second

// discard deletes the files of a form that has become no job.
func (a *API) discard(f *Form) {
	if f == nil || f.submits || len(f.uploads) == 0 {
		return
	}
	f.uploads = nil
	ctx, cancel := context.WithTimeout(context.Background(), discardTime) // the request may have been canceled
	defer cancel()
	if err := a.Files.Remove(ctx, f.jobID); err != nil {
		a.Logger.Warn("files of a refused submission not deleted, will retry", "job", f.jobID, "err", err)
	}
}
