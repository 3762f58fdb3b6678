package pages

import (
	"context"
	"io"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"coatcheck/jobs"
	"coatcheck/web"
)

// shownKinds are the kinds of files that the page shows with an element of their own.
var shownKinds = []string{"image", "audio", "video"}

// fileView returns the view of a job's file, and its text if it is one.
func (a *Pages) fileView(ctx context.Context, j *jobs.Job) (view *web.FileView, text string) {
	f, ok := j.OutputAsFile()
	if !ok {
		return nil, ""
	}
	view = &web.FileView{Name: f.Name, Type: f.ContentType, Size: web.Size(f.Bytes)}
	media, _, err := mime.ParseMediaType(f.ContentType)
	if err != nil {
		return view, ""
	}
	kind, _, _ := strings.Cut(media, "/")
	switch {
	case slices.Contains(shownKinds, kind):
		view.Kind = kind
	case kind == "text" || media == "application/json" || strings.HasSuffix(media, "+json"):
		text = a.readText(ctx, j.ID, f)
	}
	return view, text
}

// readText returns the beginning of a file; "" if it is not text in UTF-8.
func (a *Pages) readText(ctx context.Context, jobID string, f jobs.File) string {
	content, err := a.OpenFile(ctx, jobID, f.ID)
	if err != nil {
		return "" // the download reports it
	}
	defer content.Close()
	b, err := io.ReadAll(io.LimitReader(content, maxShown+utf8.UTFMax))
	if err != nil {
		return ""
	}
	for cut := range min(utf8.UTFMax, len(b)) { // the limit may be within a character
		if utf8.Valid(b[:len(b)-cut]) {
			return clippedText(string(b[:len(b)-cut]))
		}
	}
	return ""
}
