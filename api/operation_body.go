package api

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"coatcheck/jobs/schema"
)

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
		return body, Invalid(errs)
	}
	if err := json.Unmarshal(text, &body); err != nil {
		return body, Invalid([]schema.ProblemError{schema.DecodeError(err, "body")})
	}
	return body, nil
}
