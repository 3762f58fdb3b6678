package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"coatcheck/jobs"
)

// A Validator validates inputs against the JSON Schemas (2020-12) of their
// services. It compares numbers with arbitrary precision.
type Validator struct {
	schemas  huma.Registry
	services *jobs.Registry
	inputs   map[string]*huma.Schema // by service
	outputs  map[string]*huma.Schema
	submits  map[string]*huma.Schema // schemas of whole submission bodies
	bodies   map[reflect.Type]*huma.Schema

	compiled map[*huma.Schema]*jsonschema.Schema // compiled inputs, submits and bodies
}

// NewValidator returns a validator for the services. Its error lists each
// service, field and tag that is not supported.
func NewValidator(services *jobs.Registry) (*Validator, error) {
	v := &Validator{
		schemas:  huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
		services: services,
		inputs:   make(map[string]*huma.Schema), outputs: make(map[string]*huma.Schema),
		submits: make(map[string]*huma.Schema),
		bodies:  make(map[reflect.Type]*huma.Schema),
	}
	v.schemas.RegisterTypeAlias(reflect.TypeFor[jobs.Number](), reflect.TypeFor[float64]())
	v.schemas.RegisterTypeAlias(reflect.TypeFor[jobs.Optional](), reflect.TypeFor[string]())
	v.schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	problem := v.schemas.Map()["Problem"].Properties["code"]
	for _, code := range slices.Sorted(maps.Keys(statusOf)) {
		problem.Enum = append(problem.Enum, code)
	}
	for _, t := range bodies {
		v.bodies[t] = v.schemas.Schema(t, true, "")
	}
	var errs []error
	for s := range services.All() {
		if err := v.add(s); err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", s.Name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return v, v.compile()
}

// compile compiles the schemas. Its error lists each service, field and tag
// that is not supported.
func (v *Validator) compile() error {
	c, err := newCompiler(map[string]any{
		"components": map[string]any{"schemas": v.schemas.Map()}, "inputs": v.inputs, "outputs": v.outputs,
		"submits": v.submits,
	})
	if err != nil {
		return err
	}
	v.compiled = make(map[*huma.Schema]*jsonschema.Schema)
	for _, schema := range v.bodies {
		if v.compiled[schema], err = c.at("components", "schemas", path.Base(schema.Ref)); err != nil {
			return fmt.Errorf("schema of a body: %w", err)
		}
	}
	var errs []error
	for s := range v.services.All() {
		err := v.checkTags(c, s)
		for place, schema := range map[string]*huma.Schema{"inputs": v.inputs[s.Name], "submits": v.submits[s.Name]} {
			if err == nil {
				v.compiled[schema], err = c.at(place, s.Name)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}

// add creates the schemas of a service.
func (v *Validator) add(s *jobs.Service) (err error) {
	defer func() {
		if r := recover(); r != nil { // huma panics on an invalid tag
			err = fmt.Errorf("%v", r)
		}
	}()
	if s.InputSchema != nil {
		if err := v.declare(s); err != nil {
			return err
		}
	} else {
		v.inputs[s.Name] = v.schemas.Schema(s.Input(), true, s.Name+".input")
		v.outputs[s.Name] = v.schemas.Schema(s.Output(), true, s.Name+".output")
	}
	v.submits[s.Name] = v.submitSchema(s.Name)
	return nil
}

// submitSchema returns the schema of a submission to the service.
func (v *Validator) submitSchema(service string) *huma.Schema {
	submit := huma.SchemaFromType(v.schemas, reflect.TypeFor[submitBody]())
	submit.Properties["input"] = v.inputs[service]
	submit.Properties["metadata"] = &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true, Description: "Comes back as it is.",
	}
	submit.PrecomputeMessages()
	name := "Submit." + service
	v.schemas.Map()[name] = submit
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// Validate validates the input of a job as in a request. The error lists all
// validation errors, in terms that the job's owner understands.
func (v *Validator) Validate(service string, input []byte) error {
	fieldErrs, err := check(context.Background(), v.compiled[v.inputs[service]], input, "input")
	if err != nil {
		return fmt.Errorf("decode input: %w", err)
	}
	if err := v.services.Get(service).Fits(input); err != nil && len(fieldErrs) == 0 {
		fieldErrs = append(fieldErrs, decodeError(err, "input"))
	}
	var errs []error
	for _, e := range fieldErrs {
		errs = append(errs, fmt.Errorf("%s: %s", e.Location, e.Message))
	}
	return errors.Join(errs...)
}

// decodeError returns the validation error for a value that matches its
// schema but does not fit its Go type.
func decodeError(err error, location string) ProblemError {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		l := newLocation(location)
		if e.Field != "" {
			l.add(".", e.Field, "")
		}
		return ProblemError{Location: l.String(), Message: "the value is too large or too precise"}
	}
	if _, ok := errors.AsType[*time.ParseError](err); ok {
		return ProblemError{
			Location: location, Message: "expected times such as " + timeExample + ", with a capital T and Z",
		}
	}
	return ProblemError{Location: location, Message: err.Error()}
}

// standalone returns a schema together with all schemas that it refers to, as
// one document that any JSON Schema validator can use (JSON Schema 2020-12).
func (v *Validator) standalone(schema *huma.Schema) (json.RawMessage, error) {
	defs := make(map[string]json.RawMessage)
	root, err := v.localRefs(schema, defs)
	if err != nil {
		return nil, err
	}
	if len(defs) == 0 {
		return root, nil
	}
	if ref := v.schemas.SchemaFromRef(schema.Ref); ref != nil {
		if root, err = v.localRefs(ref, defs); err != nil {
			return nil, err
		}
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(root, &fields); err != nil {
		return nil, fmt.Errorf("render schema: %w", err)
	}
	if !bytes.Contains(root, []byte(`"$ref"`)) {
		return root, nil
	}
	if fields["$defs"], err = json.Marshal(defs); err != nil {
		return nil, fmt.Errorf("render schema: %w", err)
	}
	return json.Marshal(fields)
}

// localRefs renders a schema with references to $defs, and adds the referenced
// schemas to defs.
func (v *Validator) localRefs(schema *huma.Schema, defs map[string]json.RawMessage) (json.RawMessage, error) {
	const global, local = `"$ref":"#/components/schemas/`, `"$ref":"#/$defs/`
	b, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("render schema: %w", err)
	}
	for rest := b; ; {
		_, after, found := bytes.Cut(rest, []byte(global))
		if !found {
			return bytes.ReplaceAll(b, []byte(global), []byte(local)), nil
		}
		name, tail, _ := bytes.Cut(after, []byte(`"`))
		rest = tail
		if _, ok := defs[string(name)]; ok {
			continue
		}
		defs[string(name)] = nil // mark as visited, for recursive schemas
		if defs[string(name)], err = v.localRefs(v.schemas.Map()[string(name)], defs); err != nil {
			return nil, err
		}
	}
}
