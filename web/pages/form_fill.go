package pages

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

// fillFrom fills in the form with the submission of a job, whose input has its defaults.
func (f *form) fillFrom(j *jobs.Job, input []byte) {
	f.values, f.from = make(url.Values), j.ID
	if j.Steps > 1 || f.json || len(f.files) == 0 && !f.showsInput(j.Input) {
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
	if d.Decode(&properties) == nil { // a browser sends files only that the user has chosen
		f.fillMembers(f.schema, strings.TrimSuffix(inputPrefix, "."), properties, 0)
	}
	if j.CallbackURL != "" {
		f.values.Set("callback_url", string(j.CallbackURL))
	}
	f.values.Set("tags", strings.Join(j.Tags, ", "))
}

// fillDefaults fills in a new form, so that a new user only has to press Run: with the defaults, and
// the examples of other required properties.
func (f *form) fillDefaults() {
	f.values = make(url.Values)
	f.fillRequired(f.schema, strings.TrimSuffix(inputPrefix, "."), 0)
}

// fillRequired fills in the properties of an object that is required.
func (f *form) fillRequired(s *huma.Schema, object string, depth int) {
	for property, p := range s.Properties {
		p = f.validator.Resolve(p)
		name, required := object+"."+property, slices.Contains(s.Required, property)
		switch {
		case p == nil || depth == 0 && f.files.has(property):
		case p.Default != nil:
			f.fill(p, name, plain(p.Default), depth)
		case required && len(p.Examples) > 0:
			f.fill(p, name, plain(p.Examples[0]), depth)
		case required && f.shapeOf(p, depth) == groupShape:
			f.fillRequired(p, name, depth+1)
		}
	}
}

// plain returns a value of a schema as decoded JSON.
func plain(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

// fill fills in the fields for a value. A value that they cannot show is filled in as JSON.
func (f *form) fill(s *huma.Schema, name string, value any, depth int) {
	kind := f.shapeOf(s, depth)
	if !f.shows(s, value, depth) {
		kind = jsonShape
	}
	switch kind {
	case groupShape:
		f.fillMembers(s, name, value.(map[string]any), depth+1)
	case listShape:
		for i, item := range value.([]any) {
			f.fill(f.validator.Resolve(s.Items), name+"["+strconv.Itoa(i)+"]", item, depth+1)
		}
	case scalarShape, jsonShape:
		f.values.Set(name, fieldText(value))
	}
}

// fillMembers fills in the fields for the members of an object.
func (f *form) fillMembers(s *huma.Schema, name string, members map[string]any, depth int) {
	for property, member := range members {
		if member == nil {
			continue
		}
		f.fill(f.validator.Resolve(s.Properties[property]), name+"."+property, member, depth)
	}
}

// shows reports whether the fields for a schema can show a value completely.
func (f *form) shows(s *huma.Schema, value any, depth int) bool {
	switch f.shapeOf(s, depth) {
	case groupShape:
		members, ok := value.(map[string]any)
		for property, member := range members {
			of := f.validator.Resolve(s.Properties[property])
			ok = ok && of != nil && member != nil && member != "" && f.shows(of, member, depth+1)
		}
		return ok && len(members) > 0
	case listShape:
		items, ok := value.([]any)
		for _, item := range items {
			ok = ok && item != nil && item != "" && f.shows(f.validator.Resolve(s.Items), item, depth+1)
		}
		return ok && len(items) <= maxGroup
	case scalarShape:
		switch value.(type) {
		case map[string]any, []any:
			return false
		}
	case jsonShape:
	}
	return true
}

// showsInput reports whether the form can show an input completely.
func (f *form) showsInput(input []byte) bool {
	var properties map[string]any
	if json.Unmarshal(input, &properties) != nil {
		return false
	}
	for name, value := range properties {
		p := f.validator.Resolve(f.schema.Properties[name])
		if p == nil || value == "" && (p.Default != nil || slices.Contains(f.schema.Required, name)) {
			return false // an empty field means no value
		}
	}
	return true
}
