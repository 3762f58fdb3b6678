package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"coatcheck/api/problem"
	"coatcheck/jobs/schema"
)

// requestSchemas are the schemas of request bodies, which are in the OpenAPI
// document too.
type requestSchemas struct {
	submits map[string]*huma.Schema // submissions, by service
	bodies  map[reflect.Type]*huma.Schema

	compiledSubmits map[string]*jsonschema.Schema
	compiledBodies  map[reflect.Type]*jsonschema.Schema
}

// newRequestSchemas creates the schemas of request bodies, and adds them and
// the schema of problems to the validator's registry.
func newRequestSchemas(v *schema.Validator) (*requestSchemas, error) {
	r := &requestSchemas{
		submits: make(map[string]*huma.Schema), bodies: make(map[reflect.Type]*huma.Schema),
		compiledSubmits: make(map[string]*jsonschema.Schema), compiledBodies: make(map[reflect.Type]*jsonschema.Schema),
	}
	v.Registry.Schema(reflect.TypeFor[problem.Problem](), true, "Problem")
	code := v.Registry.Map()["Problem"].Properties["code"]
	code.Enum = nil
	for _, name := range slices.Sorted(slices.Values(problem.Codes())) {
		code.Enum = append(code.Enum, name)
	}
	bodySchemas := make(map[string]any)
	for name, t := range bodies {
		r.bodies[t] = v.Registry.Schema(t, true, "")
		bodySchemas[name] = r.bodies[t]
	}
	for s := range v.Services() {
		r.submits[s.Name] = submitSchema(v, s.Name)
	}
	c, err := v.NewCompiler(map[string]any{"bodies": bodySchemas, "submits": r.submits})
	if err != nil {
		return nil, err
	}
	for name, t := range bodies {
		if r.compiledBodies[t], err = c.At("bodies", name); err != nil {
			return nil, fmt.Errorf("schema of a body: %w", err)
		}
	}
	for name := range r.submits {
		if r.compiledSubmits[name], err = c.At("submits", name); err != nil {
			return nil, fmt.Errorf("schema of a submission to %s: %w", name, err)
		}
	}
	return r, nil
}

// submitSchema returns the schema of a submission to the service.
func submitSchema(v *schema.Validator, service string) *huma.Schema {
	submit := huma.SchemaFromType(v.Registry, reflect.TypeFor[submitBody]())
	submit.Properties["input"] = v.Input(service)
	submit.Properties["metadata"] = &huma.Schema{
		Type: huma.TypeObject, AdditionalProperties: true, Description: "Comes back as it is.",
	}
	submit.PrecomputeMessages()
	name := "Submit." + service
	v.Registry.Map()[name] = submit
	return &huma.Schema{Ref: "#/components/schemas/" + name}
}

// bodies are the types of request bodies, by operation id. Submissions are not
// included.
var bodies = map[string]reflect.Type{
	"cancel-job":           reflect.TypeFor[cancelBody](),
	"redeliver-all":        reflect.TypeFor[redeliverBody](),
	"rotate-callback-keys": reflect.TypeFor[rotateBody](),
	"test-callback":        reflect.TypeFor[callbackTestBody](),
}

// describeBody adds the schema of a POST operation's body to the OpenAPI
// document. Without it, huma documents the body as bytes.
func (a *API) describeBody(path string, schema *huma.Schema) {
	body := a.huma.OpenAPI().Paths[path].Post.RequestBody
	body.Required = len(a.Validator.Resolve(schema).Required) > 0
	body.Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
}

// bodyOf parses the JSON body of a request with the same validation as a
// submission. An empty body is equivalent to {}.
func bodyOf[T any](ctx context.Context, a *API, text []byte) (body T, err error) {
	text = withoutBOM(text)
	if len(bytes.TrimSpace(text)) == 0 {
		text = []byte("{}")
	}
	errs, err := schema.Check(ctx, a.schemas.compiledBodies[reflect.TypeFor[T]()], text, "body")
	if err != nil {
		return body, bodyError(ctx, err)
	}
	if len(errs) > 0 {
		return body, problem.Invalid(errs)
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return body, problem.Invalid([]schema.ProblemError{schema.DecodeError(err, "body")})
	}
	return body, nil
}
