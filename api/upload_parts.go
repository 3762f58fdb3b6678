package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"os"
	"slices"
	"strings"
	"syscall"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/schema"
)

// A formReader reads the parts of a form.
type formReader struct {
	api    *API
	form   *Form
	files  map[string]bool // the properties that are files; true for lists
	fields int
	rest   int64 // how many bytes all further fields may have
}

// read reads a part.
func (f *formReader) read(ctx context.Context, part *multipart.Part) error {
	name := part.FormName()
	property := strings.TrimPrefix(name, inputPrefix)
	list, isFile := f.files[property]
	_, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	_, hasName := parameters["filename"]
	switch {
	case err != nil:
		return problem.New("bad-request", "the multipart body is malformed: the Content-Disposition of a part is no list of different parameters")
	case name == "":
		return problem.New("bad-request", `the multipart body is malformed: a part has no name`)
	case isFile && hasName:
		return f.readFile(ctx, part, property, list)
	case hasName && name != "input":
		return problem.Invalid([]schema.ProblemError{{Location: "body." + schema.Truncate(name), Message: "unexpected file: expected files only in " + f.names()}})
	case isFile:
		return f.readField(ctx, part, inputPrefix+property) // no file, as the validation will report
	default:
		return f.readField(ctx, part, name)
	}
}

// names returns the names of the properties that are files.
func (f *formReader) names() string {
	return strings.Join(slices.Sorted(maps.Keys(f.files)), ", ")
}

// readField reads a part that is no file.
func (f *formReader) readField(ctx context.Context, part *multipart.Part, name string) error {
	if f.fields++; f.fields > maxFields {
		return problem.New("bad-request", fmt.Sprintf("expected at most %d fields", maxFields))
	}
	text, err := io.ReadAll(io.LimitReader(part, f.rest+1))
	if err != nil {
		return formError(ctx, err)
	}
	if f.rest -= int64(len(text) + len(name)); f.rest < 0 {
		return problem.New("payload-too-large",
			fmt.Sprintf("the fields of the form are too large: expected at most %d bytes without files", f.api.MaxBody))
	}
	f.form.Values.Add(name, string(text))
	return nil
}

// readFile stores a file. A browser sends a file without a name and content where none was chosen.
func (f *formReader) readFile(ctx context.Context, part *multipart.Part, property string, list bool) error {
	content := &partReader{Reader: part}
	if part.FileName() == "" {
		if n, err := io.ReadFull(content, make([]byte, 1)); n == 0 {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return formError(ctx, err)
		}
		return problem.Invalid([]schema.ProblemError{{Location: at(property), Message: "expected a file with a name"}})
	}
	if len(f.form.uploads) >= jobs.MaxUploads {
		return problem.Invalid([]schema.ProblemError{{Location: at(property), Message: fmt.Sprintf("expected at most %d files", jobs.MaxUploads)}})
	}
	if !list && len(f.form.files[property]) > 0 {
		return problem.Invalid([]schema.ProblemError{{Location: at(property), Message: "expected one file"}})
	}
	contentType := part.Header.Get("Content-Type")
	if contentType == "application/octet-stream" { // clients send this for what they do not know
		contentType = ""
	}
	file, err := f.api.Files.SaveUpload(ctx, f.form.jobID, part.FileName(), contentType, content)
	if err != nil {
		if _, away := errors.AsType[*files.UnavailableError](err); away {
			f.api.Logger.WarnContext(ctx, "uploaded file not stored", "job", f.form.jobID, "err", err)
		}
		return saveProblem(ctx, property, content.err, err)
	}
	f.form.uploads[file.ID] = file
	f.form.files[property] = append(f.form.files[property], file.ID)
	return nil
}

// at returns the location of a property of the input in problems.
func at(property string) string { return "body." + inputPrefix + property }

// A partReader records the read error of a part, to distinguish it from errors of the store.
type partReader struct {
	io.Reader
	err error
}

// Read implements [io.Reader].
func (r *partReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// saveProblem returns the problem of a file that could not be stored. readErr is the error of the
// request's body.
func saveProblem(ctx context.Context, property string, readErr, err error) error {
	limit, tooLarge := errors.AsType[*jobs.FileLimitError](err)
	full, isFull := errors.AsType[*files.FullError](err)
	switch {
	case readErr != nil:
		return formError(ctx, readErr)
	case tooLarge:
		return problem.New("payload-too-large", "the file is too large", schema.ProblemError{
			Location: at(property), Message: fmt.Sprintf("expected a file of at most %d bytes", limit.Limit),
		})
	case isFull:
		return problem.New("storage-full", full.Error())
	case errors.Is(err, syscall.ENOSPC):
		return problem.New("storage-full", "the server has no space for the file")
	}
	return err
}

// formError returns the problem of a form that could not be read.
func formError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New("request-timeout", "the request took too long to arrive")
	case ctx.Err() != nil:
		return fmt.Errorf("read body: %w", context.Cause(ctx))
	}
	return problem.New("bad-request", "the multipart body is malformed: "+err.Error())
}
