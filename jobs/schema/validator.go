// Package schema reads JSON strictly and validates it against the JSON Schemas (2020-12) of
// services, which it generates from Go types or takes from the configuration. It reports all errors
// of a text at once, each with its location, in words for people.
package schema

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"coatcheck/jobs"
)

// A Validator validates inputs against the JSON Schemas (2020-12) of their
// services. It compares numbers with arbitrary precision.
type Validator struct {
	// Registry has the schemas of Go types; other schemas refer to them as
	// #/components/schemas/NAME.
	Registry huma.Registry

	services *jobs.Registry
	inputs   map[string]*huma.Schema // by service
	outputs  map[string]*huma.Schema
	fields   map[*huma.Schema][]string // of Go structs, in the order of their declaration

	compiled map[string]*jsonschema.Schema // inputs, by service
	defaults map[string]bool               // the services whose inputs have any
	files    map[string]map[string]bool    // the files of inputs, by service
}

// NewValidator returns a validator for the services. Its error lists each
// service, field and tag that is not supported.
func NewValidator(services *jobs.Registry) (*Validator, error) {
	v := &Validator{
		Registry: huma.NewMapRegistry(componentsPath, huma.DefaultSchemaNamer),
		services: services,
		inputs:   make(map[string]*huma.Schema), outputs: make(map[string]*huma.Schema), fields: make(map[*huma.Schema][]string),
	}
	v.Registry.RegisterTypeAlias(reflect.TypeFor[jobs.Number](), reflect.TypeFor[float64]())
	v.Registry.RegisterTypeAlias(reflect.TypeFor[jobs.Optional](), reflect.TypeFor[string]())
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

// componentsPath is the path of the schemas in an OpenAPI document.
const componentsPath = "#/components/schemas/"

// add creates the schemas of a service.
func (v *Validator) add(s *jobs.Service) (err error) {
	defer func() {
		if r := recover(); r != nil { // huma panics on an invalid tag
			err = fmt.Errorf("%v", r)
		}
	}()
	if s.InputSchema != nil {
		return v.declare(s)
	}
	v.inputs[s.Name] = v.Registry.Schema(s.Input(), true, s.Name+".input")
	v.outputs[s.Name] = v.Registry.Schema(s.Output(), true, s.Name+".output")
	v.noteFields(s.Input(), v.inputs[s.Name])
	return nil
}

// compile compiles the schemas. Its error lists each service, field and tag
// that is not supported.
func (v *Validator) compile() error {
	c, err := v.NewCompiler(map[string]any{"inputs": v.inputs, "outputs": v.outputs})
	if err != nil {
		return err
	}
	v.compiled, v.defaults = make(map[string]*jsonschema.Schema), make(map[string]bool)
	v.files = make(map[string]map[string]bool)
	var errs []error
	for s := range v.services.All() {
		err := v.checkTags(c, s)
		if err == nil {
			v.compiled[s.Name], err = c.At("inputs", s.Name)
			v.files[s.Name] = v.findFiles(s.Name)
			v.defaults[s.Name] = hasDefaults(v.compiled[s.Name], make(map[*jsonschema.Schema]bool))
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("service %s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
}

// NewCompiler returns a compiler of the schemas in a document, which may refer
// to those in the registry.
func (v *Validator) NewCompiler(document map[string]any) (*Compiler, error) {
	document["components"] = map[string]any{"schemas": v.Registry.Map()}
	return newCompiler(document)
}

// Services returns the services.
func (v *Validator) Services() iter.Seq[*jobs.Service] { return v.services.All() }

// Input returns the schema of the service's input; nil if there is no such
// service.
func (v *Validator) Input(service string) *huma.Schema { return v.inputs[service] }

// Output returns the schema of the service's output.
func (v *Validator) Output(service string) *huma.Schema { return v.outputs[service] }

// Resolve returns the schema that a schema refers to, or the schema itself.
func (v *Validator) Resolve(s *huma.Schema) *huma.Schema {
	if s != nil && s.Ref != "" {
		return v.Registry.SchemaFromRef(s.Ref)
	}
	return s
}

// Validate validates the input of a job as in a request. The error lists all
// validation errors, in terms that the job's owner understands.
func (v *Validator) Validate(service string, input []byte) error {
	fieldErrs, err := Check(context.Background(), v.compiled[service], input, "input")
	if err != nil {
		return fmt.Errorf("decode input: %w", err)
	}
	if err := v.services.Get(service).Fits(v.Fill(service, input)); err != nil && len(fieldErrs) == 0 {
		fieldErrs = append(fieldErrs, DecodeError(err, "input"))
	}
	var errs []error
	for _, e := range fieldErrs {
		errs = append(errs, fmt.Errorf("%s: %s", e.Location, e.Message))
	}
	return errors.Join(errs...)
}

// DecodeError returns the validation error for a value that matches its
// schema but does not fit its Go type.
func DecodeError(err error, location string) ProblemError {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		l := newLocation(location)
		if e.Field != "" {
			l.add(".", e.Field, "")
		}
		return ProblemError{Location: l.String(), Message: "the value is too large or too precise"}
	}
	if _, ok := errors.AsType[*time.ParseError](err); ok {
		return ProblemError{
			Location: location, Message: "expected times such as " + TimeExample + ", with a capital T and Z",
		}
	}
	return ProblemError{Location: location, Message: err.Error()}
}

// Standalone returns a schema together with all schemas that it refers to, as
// one document that any JSON Schema validator can use (JSON Schema 2020-12).
func (v *Validator) Standalone(schema *huma.Schema) (json.RawMessage, error) {
	defs := make(map[string]json.RawMessage)
	root, err := v.localRefs(schema, defs)
	if err != nil {
		return nil, err
	}
	if len(defs) == 0 {
		return root, nil
	}
	if ref := v.Registry.SchemaFromRef(schema.Ref); ref != nil {
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
	const global, local = `"$ref":"` + componentsPath, `"$ref":"#/$defs/`
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
		if defs[string(name)], err = v.localRefs(v.Registry.Map()[string(name)], defs); err != nil {
			return nil, err
		}
	}
}
