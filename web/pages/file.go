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

// addFile adds the file that a job returned to the view of the job, and shows its content if that is text.
func (a *Pages) addFile(ctx context.Context, v *web.JobPage, j *jobs.Job) {
	f, ok := j.OutputAsFile()
	if !ok {
		return
	}
	v.File = &web.FileView{Name: f.Name, Type: f.ContentType, Size: web.Size(f.Bytes)}
	media, _, err := mime.ParseMediaType(f.ContentType)
	if err != nil {
		return
	}
	kind, _, _ := strings.Cut(media, "/")
	isJSON := media == "application/json" || strings.HasSuffix(media, "+json")
	switch {
	case slices.Contains(shownKinds, kind):
		v.File.Kind = kind
	case kind == "text" || isJSON:
		v.Output = a.readText(ctx, j.ID, f)
	}
	switch {
	case isJSON && f.Bytes <= maxShown:
		v.Tree = jsonTree([]byte(v.Output))
	case media == "text/csv":
		if t := csvTable(v.Output, f.Bytes <= maxShown); t != nil {
			v.Tree = &web.Node{Table: t}
		}
	}
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
