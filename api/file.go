package api

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"coatcheck/api/problem"
	"coatcheck/jobs"
)

// filePolicy is the Content-Security-Policy of files: whatever a file contains, it runs no script
// and has no access to this origin.
const filePolicy = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"

// describeFile adds the responses that serve a file to the description of an operation.
func describeFile(op *huma.Operation) {
	op.Responses["200"] = &huma.Response{
		Description: "The file.",
		Content:     map[string]*huma.MediaType{"*/*": {Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}},
	}
	op.Responses["206"] = &huma.Response{Description: "A part of the file, for a request with Range."}
	op.Responses["304"] = &huma.Response{Description: "The file is the one that the caller has."}
	op.Responses["416"] = &huma.Response{Description: "The file has no such part."}
}

type uploadRequest struct {
	Job    string `path:"job" doc:"The job's id."`
	Upload string `path:"upload" doc:"The file's id, which stands for it in the input."`
}

// getUpload responds with a file of a job's input.
func (a *API) getUpload(ctx context.Context, req *uploadRequest) (*huma.StreamResponse, error) {
	job, err := a.OwnedJob(ctx, req.Job)
	if err != nil {
		return nil, err
	}
	file, ok := job.Uploads[req.Upload]
	if !ok {
		return nil, problem.New("not-found", "the job's input has no such file; its files are in uploads")
	}
	file.ID = req.Upload
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		r, w := humachi.Unwrap(hc)
		a.serveFile(w, r, &job, file)
	}}, nil
}

// serveFile responds with a file of a job's input or output, or with a part of it (RFC 9110, section
// 14). Its ETag is the SHA-256 of the content.
func (a *API) serveFile(w http.ResponseWriter, r *http.Request, job *jobs.Job, file jobs.File) {
	content, err := a.OpenFile(r.Context(), job.ID, file.ID)
	if err != nil {
		a.Logger.ErrorContext(r.Context(), "file of a job can't be read", "job", job.ID, "file", file.ID, "err", err)
		p := knownProblem(err)
		if p == nil {
			p = problem.New("internal", "the file can't be read; the server log has details under this request ID")
		}
		a.WriteProblem(w, r, p)
		return
	}
	defer content.Close()
	h := w.Header()
	h.Set("Content-Type", file.ContentType)
	h.Set("Content-Disposition", disposition(file))
	h.Set("Content-Security-Policy", filePolicy)
	h.Set("ETag", `"`+file.SHA256+`"`)
	modified := job.CreatedAt
	if file.ID == job.OutputFile {
		modified = *job.FinishedAt
	}
	http.ServeContent(w, r, "", modified.Time, content)
}

// OpenFile opens a file of a job. ctx must last until it is closed. Error: [fs.ErrNotExist], also if
// this process has no place for files.
func (a *API) OpenFile(ctx context.Context, jobID, fileID string) (io.ReadSeekCloser, error) {
	if a.Files == nil {
		return nil, fmt.Errorf("open a file: this process has no files.dir or files.s3: %w", fs.ErrNotExist)
	}
	return a.Files.Open(ctx, jobID, fileID)
}

// disposition returns the Content-Disposition of a file (RFC 6266): browsers show what can't contain
// scripts and offer the rest as a download.
func disposition(file jobs.File) string {
	kind := "attachment"
	if media, _, err := mime.ParseMediaType(file.ContentType); err == nil {
		major, _, _ := strings.Cut(media, "/")
		if major == "audio" || major == "video" || major == "image" && media != "image/svg+xml" || media == "text/plain" {
			kind = "inline"
		}
	}
	text := mime.FormatMediaType(kind, map[string]string{"filename": file.Name})
	if text == "" {
		return kind
	}
	return text
}
