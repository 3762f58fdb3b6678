package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"coatcheck/jobs"
	"coatcheck/web"

	"github.com/danielgtaylor/huma/v2"
)

// schema is a JSON Schema.
type schema = huma.Schema

// A form asks for a submission: a field for each property of the service's
// input and for the most important options, or all of it as JSON.
type form struct {
	service *jobs.Service
	schema  *schema
	resolve func(ref string) *schema
	json    bool
	values  url.Values          // as typed; nil at first
	errors  map[string][]string // by the name of the field; "" for none
}

// inputPrefix is what the names of fields of the input begin with, so that
// they are told from the options.
const inputPrefix = "input."

// options are asked for beside the input, under their names in a submission.
var options = []web.Field{
	{Name: "callback_url", Label: "Callback URL", Kind: "url", Placeholder: "https://client.example/hooks", Help: "Is called when the job ends. The test receiver has one to try."},
	{Name: "delay", Label: "Delay", Kind: "text", Placeholder: "5s", Help: "Not started before this is over."},
	{Name: "max_attempts", Label: "Attempts", Kind: "number", Min: "1", Max: "100", Step: "1", Help: "How often it is tried in all."},
	{Name: "timeout", Label: "Timeout", Kind: "text", Placeholder: "15m", Help: "Ends an attempt that takes longer."},
	{Name: "priority", Label: "Priority", Kind: "select", Options: []string{"", "1", "2", "3", "4"}, Help: "1 is first, 2 what is usual."},
	{Name: "tags", Label: "Tags", Kind: "text", Placeholder: "web, test", Help: "To find the job by, separated by commas."},
}

// numeric are the options that are numbers in JSON.
var numeric = []string{"max_attempts", "priority"}

// fields returns the fields of the input, in the order of the schema.
func (f *form) fields() []web.Field {
	names := slices.SortedFunc(maps.Keys(f.schema.Properties), func(x, y string) int {
		return cmp.Or(f.rank(x)-f.rank(y), strings.Compare(x, y))
	})
	var fields []web.Field
	for _, name := range names {
		fields = append(fields, f.field(name, f.property(name)))
	}
	return fields
}

// rank puts what is required first, and then what x-order says.
func (f *form) rank(name string) int {
	rank := 1000
	if order, ok := f.property(name).Extensions["x-order"].(float64); ok {
		rank = int(order)
	}
	if !slices.Contains(f.schema.Required, name) {
		rank += 10_000
	}
	return rank
}

func (f *form) property(name string) *schema {
	p := f.schema.Properties[name]
	if p.Ref != "" {
		return f.resolve(p.Ref)
	}
	return p
}

// field returns the field for a property.
func (f *form) field(name string, p *schema) web.Field {
	field := web.Field{
		Name: inputPrefix + name, ID: "input-" + name, Label: cmp.Or(p.Title, title(strings.ReplaceAll(name, "_", " "))), Help: p.Description,
		Required: slices.Contains(f.schema.Required, name), Value: plain(p.Default), Errors: f.errors[inputPrefix+name],
	}
	if len(p.Examples) > 0 {
		field.Placeholder = plain(p.Examples[0])
	}
	switch {
	case f.values != nil:
		field.Value = f.values.Get(field.Name)
	case field.Required && field.Value == "":
		field.Value = field.Placeholder // so that a newcomer need only press Run
	}
	if p.Minimum != nil {
		field.Min = strconv.FormatFloat(*p.Minimum, 'f', -1, 64)
	}
	if p.Maximum != nil {
		field.Max = strconv.FormatFloat(*p.Maximum, 'f', -1, 64)
	}
	if p.MaxLength != nil {
		field.MaxLength = *p.MaxLength
	}
	switch {
	case len(p.Enum) > 0 || p.Type == huma.TypeBoolean:
		field.Kind = "select"
		if !field.Required {
			field.Options = append(field.Options, "")
		}
		for _, e := range p.Enum {
			field.Options = append(field.Options, plain(e))
		}
		if p.Type == huma.TypeBoolean {
			field.Options = append(field.Options, "false", "true")
		}
	case p.Type == huma.TypeInteger:
		field.Kind, field.Step = "number", "1"
	case p.Type == huma.TypeNumber:
		field.Kind, field.Step = "number", "any"
	case p.Type == huma.TypeString && (field.MaxLength > 200 || p.Format == "textarea"):
		field.Kind = "textarea"
	case p.Type == huma.TypeString:
		field.Kind = cmp.Or(map[string]string{"uri": "url", "email": "email", "date": "date", "password": "password"}[p.Format], "text")
	default:
		field.Kind = "json"
		field.Help = strings.TrimSpace(field.Help + " As JSON.")
	}
	return field
}

// plain returns a value as one types it: text as it is, all else as JSON.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// view returns the form for the page. The key makes a form that is sent twice
// one job.
func (f *form) view(key string) web.Form {
	v := web.Form{Action: serviceHref(f.service.Name, nil), Key: key, JSON: f.json, Errors: f.errors[""]}
	if f.json {
		v.Other = serviceHref(f.service.Name, nil)
		v.Fields = []web.Field{{
			Name: "body", ID: "body", Label: "Submission", Kind: "json", Help: "The body of the call, as in the API: input, callback_url, then and all the rest.",
			Value: f.values.Get("body"), Errors: f.errors["body"],
		}}
		if !f.values.Has("body") {
			v.Fields[0].Value = `{"input": ` + f.example() + "}"
		}
		return v
	}
	v.Other = serviceHref(f.service.Name, url.Values{"as": {"json"}})
	v.Fields = f.fields()
	for _, option := range options {
		option.ID, option.Value, option.Errors = "option-"+option.Name, f.values.Get(option.Name), f.errors[option.Name]
		v.OpenOptions = v.OpenOptions || option.Value != "" || len(option.Errors) > 0
		v.Options = append(v.Options, option)
	}
	return v
}

// body returns the submission that the form stands for, as a program would
// send it.
func (f *form) body() (json.RawMessage, error) {
	if f.json {
		return json.RawMessage(f.values.Get("body")), nil
	}
	input := make(map[string]json.RawMessage)
	for name := range f.schema.Properties {
		if value := f.values.Get(inputPrefix + name); value != "" {
			input[name] = typed(f.property(name), value)
		}
	}
	body := map[string]any{"input": input}
	for _, option := range options {
		switch value := strings.TrimSpace(f.values.Get(option.Name)); {
		case value == "":
		case option.Name == "tags":
			body["tags"] = slices.DeleteFunc(commas.Split(value, -1), func(tag string) bool { return tag == "" })
		case slices.Contains(numeric, option.Name):
			body[option.Name] = typed(&schema{Type: huma.TypeNumber}, value)
		default:
			body[option.Name] = value
		}
	}
	return json.Marshal(body)
}

// typed returns what was typed as JSON of the type that the schema wants. What
// is not of the type stays text, so that the validator says so.
func typed(p *schema, value string) json.RawMessage {
	if p.Type == huma.TypeString {
		return quoted(strings.ReplaceAll(value, "\r\n", "\n")) // as forms send line breaks
	}
	if value = strings.TrimSpace(value); !json.Valid([]byte(value)) {
		return quoted(value)
	}
	if len(p.Enum) > 0 && p.Type == "" {
		return quoted(value)
	}
	return json.RawMessage(value)
}

func quoted(s string) json.RawMessage {
	b, _ := json.Marshal(s) // a string always can be
	return b
}

var (
	commas    = regexp.MustCompile(`\s*,\s*`)
	firstName = regexp.MustCompile(`^[^.\[]*`) // of a location such as input.list[0].name
	// missing is what the validator says of a property that is not there; the
	// mistake stands at the object that lacks it.
	missing = regexp.MustCompile(`^expected required property (\S+) to be present$`)
)

// mistakes takes over what the validator found, field by field.
func (f *form) mistakes(p *Problem) {
	f.errors = make(map[string][]string)
	for _, e := range p.Errors {
		at, message := strings.TrimPrefix(e.Location, "body."), e.Message
		switch {
		case f.json:
			at, message = "body", e.Location+": "+message
		case at == "input" && missing.MatchString(message):
			at, message = inputPrefix+missing.FindStringSubmatch(message)[1], "This is needed."
		case strings.HasPrefix(at, inputPrefix):
			name := firstName.FindString(at[len(inputPrefix):])
			if rest := at[len(inputPrefix)+len(name):]; rest != "" {
				message = strings.TrimPrefix(rest, ".") + ": " + message
			}
			at = inputPrefix + name
		default:
			at = firstName.FindString(at)
		}
		known := at == "body" && f.json || slices.ContainsFunc(f.fields(), func(x web.Field) bool { return x.Name == at }) ||
			slices.ContainsFunc(options, func(x web.Field) bool { return x.Name == at })
		if !known {
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

// again fills the form in with what a job was submitted with.
func (f *form) again(j *jobs.Job) {
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
		var then []nextStep
		for i := 1; i < len(j.Chain); i++ {
			then = append(then, nextStep{j.Chain[i].Service, j.Chain[i].Input})
		}
		if then != nil {
			body["then"] = then
		}
		b, err := json.MarshalIndent(body, "", "  ")
		if err == nil {
			f.values.Set("body", string(b))
		}
		return
	}
	var input map[string]any
	d := json.NewDecoder(bytes.NewReader(j.Input))
	d.UseNumber()
	if d.Decode(&input) == nil {
		for name, value := range input {
			f.values.Set(inputPrefix+name, plain(value))
		}
	}
	if j.CallbackURL != "" {
		f.values.Set("callback_url", string(j.CallbackURL))
	}
	f.values.Set("tags", strings.Join(j.Tags, ", "))
}

// example returns an input that the service would take, as far as its schema
// has examples.
func (f *form) example() string {
	var b strings.Builder
	b.WriteString("{")
	for _, field := range f.fields() {
		p := f.property(strings.TrimPrefix(field.Name, inputPrefix))
		var value any
		switch {
		case len(p.Examples) > 0:
			value = p.Examples[0]
		case !field.Required:
			continue
		case p.Default != nil:
			value = p.Default
		case len(p.Enum) > 0:
			value = p.Enum[0]
		default:
			value = map[string]any{huma.TypeString: "text", huma.TypeBoolean: true, huma.TypeInteger: 1, huma.TypeNumber: 1, huma.TypeArray: []any{}, huma.TypeObject: map[string]any{}}[p.Type]
			if p.Minimum != nil {
				value = *p.Minimum
			}
		}
		text, err := json.Marshal(value)
		if err != nil {
			continue
		}
		if b.Len() > 1 {
			b.WriteString(", ")
		}
		b.Write(quoted(strings.TrimPrefix(field.Name, inputPrefix)))
		b.WriteString(": ")
		b.Write(text)
	}
	return b.String() + "}"
}
