package api

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"strings"

	"coatcheck/api/problem"
	"coatcheck/jobs"
)

// filePolicy is the Content-Security-Policy of files: whatever a file contains, it runs no script
// and has no access to this origin.
const filePolicy = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"

// serveFile responds with the file that a job's output is, or with a part of it (RFC 9110, section
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
	http.ServeContent(w, r, "", job.FinishedAt.Time, content)
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
