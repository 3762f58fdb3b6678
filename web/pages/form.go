package pages

import (
	"bytes"
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/jobs/schema"
	"coatcheck/jobs/store"
	"coatcheck/web"
)

// A form creates a submission. It has a field for each property of the
// service's input and for the most important options, or one field for the
// whole submission as JSON.
type form struct {
	service *jobs.Service
	schema  *huma.Schema
	files   map[string]bool // properties that are files; true for lists
	resolve func(ref string) *huma.Schema
	json    bool
	values  url.Values          // as entered; nil for a new form
	errors  map[string][]string // by field name; "" for errors without a field
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
			v.Fields[0].Value = `{"input": ` + f.example() + "}"
		}
		focusInvalid(v.Fields)
		return v
	}
	if !v.Multipart { // JSON has no files
		v.Other = serviceHref(f.service.Name, url.Values{"as": {"json"}})
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
		for i := range fields {
			if len(fields[i].Errors) > 0 {
				fields[i].Focus = true
				return
			}
		}
	}
}

// body returns the submission as the JSON body of the equivalent API request, in which refs stand for
// the files.
func (f *form) body(refs map[string][]string) (json.RawMessage, error) {
	if f.json {
		return json.RawMessage(f.values.Get("body")), nil
	}
	input := make(map[string]json.RawMessage)
	for name := range f.schema.Properties {
		if value := f.values.Get(inputPrefix + name); value != "" {
			input[name] = schema.FormValue(f.property(name), value)
		}
	}
	for name, list := range refs {
		var value any = list
		if !f.files[name] {
			value = list[0]
		}
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		input[name] = text
	}
	body := map[string]any{"input": input}
	for _, option := range options {
		switch value := strings.TrimSpace(f.values.Get(option.Name)); {
		case value == "":
		case option.Name == "tags":
			body["tags"] = slices.DeleteFunc(commas.Split(value, -1), func(tag string) bool { return tag == "" })
		case slices.Contains(numericOptions, option.Name):
			body[option.Name] = schema.FormValue(&huma.Schema{Type: huma.TypeNumber}, value)
		default:
			body[option.Name] = value
		}
	}
	return json.Marshal(body)
}

func jsonString(s string) json.RawMessage {
	b, _ := json.Marshal(s) // marshaling a string cannot fail
	return b
}

var (
	commas    = regexp.MustCompile(`\s*,\s*`)
	firstName = regexp.MustCompile(`^[^.\[]*`) // of a location such as input.list[0].name
)

// setErrors assigns the validation errors of a problem to the fields.
func (f *form) setErrors(p *api.Problem) {
	f.errors = make(map[string][]string)
	fieldNames := make(map[string]bool)
	for _, field := range slices.Concat(f.fields(), options) {
		fieldNames[field.Name] = true
	}
	for _, e := range p.Errors {
		at, message := strings.TrimPrefix(e.Location, "body."), e.Message
		switch {
		case f.json:
			at, message = "body", e.Location+": "+message
		case strings.HasPrefix(at, inputPrefix):
			name := firstName.FindString(at[len(inputPrefix):])
			if rest := at[len(inputPrefix)+len(name):]; rest != "" {
				message = strings.TrimPrefix(rest, ".") + ": " + message
			}
			at = inputPrefix + name
		default:
			at = firstName.FindString(at)
		}
		if !fieldNames[at] && (at != "body" || !f.json) {
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

// fillFrom fills in the form with the submission of a job, whose input has its defaults.
func (f *form) fillFrom(j *jobs.Job, input []byte) {
	f.values = make(url.Values)
	if j.Steps > 1 || f.json {
		f.json = true
		body := map[string]any{"input": j.Input}
		if j.CallbackURL != "" {
			body["callback_url"] = j.CallbackURL
		}
		if len(j.Tags) > 0 {
			body["tags"] = j.Tags
		}
		var then []api.NextStep
		for i := 1; i < len(j.Chain); i++ {
			then = append(then, api.NextStep{Service: j.Chain[i].Service, Input: j.Chain[i].Input})
		}
		if then != nil {
			body["then"] = then
		}
		if b, err := store.Marshal(body); err == nil {
			f.values.Set("body", prettyJSON(b))
		}
		return
	}
	var properties map[string]any
	d := json.NewDecoder(bytes.NewReader(input))
	d.UseNumber()
	if d.Decode(&properties) == nil {
		for name, value := range properties { // a browser sends files only that the user has chosen
			f.values.Set(inputPrefix+name, fieldText(value))
		}
	}
	if j.CallbackURL != "" {
		f.values.Set("callback_url", string(j.CallbackURL))
	}
	f.values.Set("tags", strings.Join(j.Tags, ", "))
}
