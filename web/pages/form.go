package pages

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api/problem"
	"coatcheck/jobs"
	"coatcheck/jobs/schema"
	"coatcheck/web"
)

// A form creates a submission. It has a field for each property of the
// service's input and for the most important options, or one field for the
// whole submission as JSON.
type form struct {
	service   *jobs.Service
	schema    *huma.Schema
	validator *schema.Validator
	files     formFiles
	json      bool
	values    url.Values          // as entered; nil for a new form
	errors    map[string][]string // by field name; "" for errors without a field
	from      string              // the job whose submission it shows, or ""
}

// newForm returns the empty form of a service.
func (a *Pages) newForm(s *jobs.Service) *form {
	return &form{
		service: s, schema: a.Validator.Resolve(a.Validator.Input(s.Name)), validator: a.Validator, files: a.Validator.Files(s.Name),
	}
}

// inputPrefix is the prefix of the names of input fields. It distinguishes them
// from options.
const inputPrefix = "input."

// view returns the form for the page. The idempotency key prevents a second job
// if the form is sent twice.
func (f *form) view(key string) web.Form {
	v := web.Form{
		Action: serviceHref(f.service.Name, nil), Key: key, JSON: f.json, Errors: f.errors[""], Multipart: len(f.files) > 0,
	}
	if f.json {
		v.Other = serviceHref(f.service.Name, nil)
		v.Fields = []web.Field{{
			Name: "body", ID: "body", Label: "Submission", Kind: "json",
			Help:  "The request body, as in the API: input, callback_url, then and all other options.",
			Value: f.values.Get("body"), Errors: f.errors["body"],
		}}
		if !f.values.Has("body") {
			v.Fields[0].Value = string(f.example())
		}
		focusInvalid(v.Fields)
		return v
	}
	if f.values == nil {
		f.fillDefaults()
	}
	if !v.Multipart { // JSON has no files
		query := url.Values{"as": {"json"}}
		if f.from != "" {
			query.Set("from", f.from)
		}
		v.Other = serviceHref(f.service.Name, query)
	}
	v.Fields = f.fields()
	for _, option := range options {
		option.ID, option.Value, option.Errors = "option-"+option.Name, f.values.Get(option.Name), f.errors[option.Name]
		v.OpenOptions = v.OpenOptions || option.Value != "" || len(option.Errors) > 0
		v.Options = append(v.Options, option)
	}
	focusInvalid(v.Fields, v.Options)
	return v
}

// focusInvalid gives the focus to the first field with an error.
func focusInvalid(lists ...[]web.Field) {
	for _, fields := range lists {
		for field := range web.AllFields(fields) {
			if len(field.Errors) > 0 {
				field.Focus = true
				return
			}
		}
	}
}

// body returns the submission as the JSON body of the equivalent API request, in which refs stand
// for the files. With example, it is an example, see [form.example].
func (f *form) body(refs map[string][]string, example bool) json.RawMessage {
	if f.json {
		return json.RawMessage(f.values.Get("body"))
	}
	members := [][]byte{slices.Concat([]byte(`"input":`), f.input(refs, example))}
	for _, o := range f.options() {
		members = append(members, slices.Concat(jsonString(o.Name), []byte(":"), o.Value))
	}
	return jsonObject(members)
}

// An option is an option of the submission, with its value in JSON.
type option struct {
	Name  string
	Value json.RawMessage
	Texts []string // as fields of a form
}

// options returns the options that were entered.
func (f *form) options() (entered []option) {
	for _, field := range options {
		value := strings.TrimSpace(f.values.Get(field.Name))
		switch {
		case value == "":
		case field.Name == "tags":
			tags := slices.DeleteFunc(commas.Split(value, -1), func(tag string) bool { return tag == "" })
			entered = append(entered, option{field.Name, jsonStrings(tags), tags})
		case slices.Contains(numericOptions, field.Name):
			entered = append(entered, option{field.Name, schema.FormValue(&huma.Schema{Type: huma.TypeNumber}, value), []string{value}})
		default:
			entered = append(entered, option{field.Name, jsonString(value), []string{value}})
		}
	}
	return entered
}

var commas = regexp.MustCompile(`\s*,\s*`)

// setErrors assigns the validation errors of a problem to the fields.
func (f *form) setErrors(p *problem.Problem) {
	f.errors = make(map[string][]string)
	names := map[string]bool{"body": f.json}
	note := func(fields []web.Field) {
		for field := range web.AllFields(fields) {
			names[field.Name] = !f.json
		}
	}
	note(f.fields())
	note(options)
	for _, e := range p.Errors {
		at, message := "body", e.Location+": "+e.Message
		if !f.json {
			at, message = fieldOf(names, strings.TrimPrefix(e.Location, "body."), e.Message)
		}
		if !names[at] {
			at, message = "", e.Location+": "+e.Message
		}
		f.errors[at] = append(f.errors[at], message)
	}
	switch {
	case len(p.Errors) == 0 && f.json:
		f.errors["body"] = append(f.errors["body"], p.Detail)
	case len(p.Errors) == 0:
		f.errors[""] = append(f.errors[""], p.Detail)
	}
}

// fieldOf returns the name of the field that shows the value at a location, and the message with the
// rest of the location. The value may be a part of the field's.
func fieldOf(names map[string]bool, location, message string) (name, rest string) {
	for at := location; at != ""; at = at[:max(strings.LastIndexAny(at, ".["), 0)] {
		if !names[at] {
			continue
		}
		if inner := strings.TrimPrefix(location[len(at):], "."); inner != "" {
			message = inner + ": " + message
		}
		return at, message
	}
	return "", message
}
