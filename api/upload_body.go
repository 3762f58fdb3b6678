package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/schema"
)

// inputPrefix is the prefix of the names of form fields that are properties of the input.
const inputPrefix = "input."

// readUploads returns middleware that replaces the multipart form of a submission by the equivalent
// JSON body.
func (a *API) readUploads(service string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w := humachi.Unwrap(ctx)
		if !IsMultipart(r) {
			next(ctx)
			return
		}
		body, err := a.formBody(r, service)
		if err != nil {
			a.WriteProblem(w, r, err)
			return
		}
		replaced := &deadlineBody{ReadCloser: io.NopCloser(bytes.NewReader(body)), control: http.NewResponseController(w)}
		replaced.ended.Store(true)
		r.Body, r.ContentLength = replaced, int64(len(body))
		r.Header.Set("Content-Type", jsonType)
		next(ctx)
	}
}

// formBody reads the form of a submission and returns the equivalent JSON body.
func (a *API) formBody(r *http.Request, service string) ([]byte, error) {
	ctx := r.Context()
	if _, err := a.Service(ctx, service); err != nil {
		return nil, err
	}
	f, err := a.ReadForm(r, service)
	if err != nil {
		return nil, err
	}
	if f.fingerprinted, err = a.encodeForm(service, f, f.Contents()); err != nil {
		return nil, err
	}
	return a.encodeForm(service, f, f.Refs())
}

// encodeForm returns the JSON body that is equivalent to the form, in which refs stand for the files.
func (a *API) encodeForm(service string, f *Form, refs map[string][]string) ([]byte, error) {
	input, err := inputMembers(f.Values["input"])
	if err != nil {
		return nil, err
	}
	if errs := f.repeated(); errs != nil {
		return nil, problem.Invalid(errs)
	}
	properties := a.Validator.Resolve(a.Validator.Input(service)).Properties
	options := a.Validator.Resolve(a.schemas.submits[service]).Properties
	var members []string
	for _, name := range slices.Sorted(maps.Keys(f.Values)) {
		property, isProperty := strings.CutPrefix(name, inputPrefix)
		switch {
		case name == "input", isProperty && len(refs[property]) > 0:
		case isProperty:
			input = append(input, member(property, formValues(a.Validator.Resolve(properties[property]), f.Values[name])))
		default:
			members = append(members, member(name, formValues(a.Validator.Resolve(options[name]), f.Values[name])))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(refs)) {
		all := slices.Concat(refs[name], f.Values[inputPrefix+name]) // a list may have files and URLs
		input = append(input, member(name, formValues(a.Validator.Resolve(properties[name]), all)))
	}
	members = append(members, `"input":{`+strings.Join(input, ",")+`}`)
	return []byte("{" + strings.Join(members, ",") + "}"), nil
}

// repeated returns an error for each property that is in the field "input" and is a part of its own.
func (f *Form) repeated() (errs []schema.ProblemError) {
	var members map[string]json.RawMessage
	if values := f.Values["input"]; len(values) != 1 || json.Unmarshal([]byte(values[0]), &members) != nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if len(f.files[name]) > 0 || f.Values.Has(inputPrefix+name) {
			errs = append(errs, schema.ProblemError{
				Location: at(name), Message: "expected it once: in the part input, or as a part of its own",
			})
		}
	}
	return errs
}

// inputMembers returns the members of the JSON object in the field "input".
func inputMembers(values []string) ([]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	text := strings.TrimSpace(string(withoutBOM([]byte(values[0]))))
	inner, opened := strings.CutPrefix(text, "{")
	inner, closed := strings.CutSuffix(inner, "}")
	if len(values) > 1 || !opened || !closed || !json.Valid([]byte(text)) {
		return nil, problem.Invalid([]schema.ProblemError{{Location: "body.input", Message: `expected one JSON object, such as {"scale": 2}`}})
	}
	if strings.TrimSpace(inner) == "" {
		return nil, nil
	}
	return []string{inner}, nil
}

// member returns a member of a JSON object.
func member(name string, value json.RawMessage) string {
	return string(schema.FormValue(&huma.Schema{Type: huma.TypeString}, name)) + ":" + string(value)
}

// formValues returns the values of a form field as JSON of the type in the schema. Fields of one name
// are a list.
func formValues(s *huma.Schema, values []string) json.RawMessage {
	isList := s != nil && s.Type == huma.TypeArray
	if len(values) == 1 && (!isList || strings.HasPrefix(strings.TrimSpace(values[0]), "[")) {
		return schema.FormValue(s, values[0])
	}
	var items []string
	for _, value := range values {
		if isList {
			items = append(items, string(schema.FormValue(s.Items, value)))
		} else {
			items = append(items, string(schema.FormValue(s, value)))
		}
	}
	return json.RawMessage("[" + strings.Join(items, ",") + "]")
}

// checkFiles returns the errors of an input whose files are not those of the form.
func (a *API) checkFiles(ctx context.Context, service string, input json.RawMessage, location string) (errs []schema.ProblemError) {
	names := a.Validator.Files(service)
	var values map[string]json.RawMessage
	if len(names) == 0 || json.Unmarshal(input, &values) != nil {
		return nil
	}
	form := InfoOf(ctx).form
	for _, name := range slices.Sorted(maps.Keys(names)) {
		for _, ref := range stringsIn(values[name]) {
			message := ""
			switch isURL := queue.IsURL(ref); {
			case isURL && a.Files == nil:
				message = jobs.ErrNoFiles.Error()
			case isURL:
				if _, err := a.Guard.CheckURL(ref); err != nil {
					message = err.Error()
				}
			case form == nil || form.uploads[ref].ID == "":
				message = fmt.Sprintf("expected a file: its URL, or %s with the file as the part %s", multipartType, name)
			}
			if message != "" {
				errs = append(errs, schema.ProblemError{Location: location + "." + name, Message: message})
			}
		}
	}
	return errs
}

// stringsIn returns a JSON string, or those in a list. The schema reports what is neither, except for
// placeholders of further steps.
func stringsIn(text json.RawMessage) (found []string) {
	var value any
	_ = json.Unmarshal(text, &value) // it may be absent
	list, isList := value.([]any)
	if !isList {
		list = []any{value}
	}
	for _, item := range list {
		if s, ok := item.(string); ok {
			found = append(found, s)
		}
	}
	return found
}

// describeForm adds the form of a submission to the OpenAPI document if the service takes files.
func (a *API) describeForm(path, service string) {
	names := a.Validator.Files(service)
	if len(names) == 0 {
		return
	}
	form := huma.SchemaFromType(a.Validator.Registry, reflect.TypeFor[submitBody]())
	form.Required = nil
	form.Properties["input"] = &huma.Schema{
		Type: huma.TypeObject, Description: "The properties of the input that are no files, as JSON. A part " + inputPrefix + "NAME is one of them.",
	}
	form.Properties["metadata"] = &huma.Schema{Type: huma.TypeObject, Description: "Comes back as it is."}
	input := a.Validator.Resolve(a.Validator.Input(service))
	for name := range names {
		form.Properties[name] = input.Properties[name]
		if slices.Contains(input.Required, name) {
			form.Required = append(form.Required, name)
		}
	}
	form.AdditionalProperties = true // input.NAME
	slices.Sort(form.Required)
	a.huma.OpenAPI().Paths[path].Post.RequestBody.Content[multipartType] = &huma.MediaType{Schema: form}
}

// attach adds the files of the request's form to a submission, which they belong to from now on.
func (info *RequestInfo) attach(s *jobs.Submission) {
	if f := info.form; f != nil && len(f.uploads) > 0 {
		s.JobID, s.Uploads = f.jobID, f.uploads
		f.submits = true
	}
}
