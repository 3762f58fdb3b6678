package reference

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// An operation is an operation as the page shows it.
type operation struct {
	ID, Method, Path, Summary, Description string
	Service                                string // that it submits to; "" for none
	Access                                 string
	Parameters                             []row
	Bodies                                 []content
	Responses                              []response
	Problems                               []Problem
	Commands                               []command
	// Try reports whether the page offers to send the request; TryBody, whether it has a body.
	Try, TryBody bool
}

// Label is the name of the operation in the navigation.
func (o operation) Label() string { return cmp.Or(o.Service, o.Summary) }

// A content is a body of a request or response.
type content struct {
	Media string
	// Schema is the name of the schema, if the page shows it elsewhere.
	Schema  string
	Rows    []row
	Options []row // of a submission, which are the same for all services
	Raw     string
	Example string
}

type response struct {
	Status, Description string
	Headers             []row
	Contents            []content
}

// operation returns what the page shows of an operation.
func (r *renderer) operation(method, path string, op *huma.Operation) (o operation, err error) {
	o = operation{
		ID: op.OperationID, Method: method, Path: path, Summary: op.Summary, Description: op.Description,
		Try: method == http.MethodGet || submits(op), TryBody: method == http.MethodPost,
	}
	if r.Secured {
		o.Access = access(op)
	}
	if submits(op) {
		o.Service = serviceOf(op)
	}
	for _, p := range op.Parameters {
		row := r.schemas.row(p.Name, p.Schema, p.Required, 0)
		row.In, row.Meaning = p.In, cmp.Or(p.Description, row.Meaning)
		row.Type = strings.TrimSuffix(row.Type, " or null") // a parameter is left out instead
		o.Parameters = append(o.Parameters, row)
	}
	slices.SortStableFunc(o.Parameters, func(x, y row) int { return places[x.In] - places[y.In] })
	if op.RequestBody != nil {
		for _, media := range slices.Sorted(maps.Keys(op.RequestBody.Content)) {
			body, err := r.body(media, op.RequestBody.Content[media])
			if err != nil {
				return o, err
			}
			o.Bodies = append(o.Bodies, body)
		}
	}
	if o.Responses, err = r.responses(op); err != nil {
		return o, err
	}
	codes, _ := op.Extensions["x-problems"].([]string)
	for _, p := range r.Problems {
		if slices.Contains(codes, p.Code) {
			o.Problems = append(o.Problems, p)
		}
	}
	o.Commands = r.commands(&o, op)
	return o, nil
}

var places = map[string]int{"path": 0, "query": 1, "header": 2}

// access describes the credentials that an operation requires.
func access(op *huma.Operation) string {
	switch {
	case len(op.Security) == 0:
		return "Public: needs no credentials."
	case len(op.Security[0]) == 0:
		return "Needs the job's token, or its id and credentials."
	default:
		return "Needs credentials."
	}
}

// body returns the body of a request. The options of a submission are apart from its input.
func (r *renderer) body(media string, m *huma.MediaType) (c content, err error) {
	c = content{Media: media}
	if c.Raw, err = indented(r.schemas.Resolve(m.Schema)); err != nil {
		return c, err
	}
	submission := strings.HasPrefix(Name(m.Schema), "Submit.")
	for _, row := range r.schemas.rows(m.Schema, 0) {
		if submission && row.Name != "input" && !strings.HasPrefix(row.Name, "input.") {
			c.Options = append(c.Options, row)
		} else {
			c.Rows = append(c.Rows, row)
		}
	}
	example, err := r.schemas.Request(m.Schema)
	if err != nil || media != "application/json" {
		return c, err
	}
	c.Example, err = indented(example)
	return c, err
}

// responses returns the responses of an operation, without problems.
func (r *renderer) responses(op *huma.Operation) ([]response, error) {
	var responses []response
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		if status == "default" {
			continue
		}
		from := op.Responses[status]
		code, _ := strconv.Atoi(status)
		to := response{Status: status, Description: cmp.Or(from.Description, http.StatusText(code))}
		for _, name := range slices.Sorted(maps.Keys(from.Headers)) {
			row := r.schemas.row(name, from.Headers[name].Schema, false, 0)
			row.Meaning = cmp.Or(from.Headers[name].Description, row.Meaning)
			to.Headers = append(to.Headers, row)
		}
		for _, media := range slices.Sorted(maps.Keys(from.Content)) {
			c, err := r.responseBody(media, from.Content[media])
			if err != nil {
				return nil, err
			}
			to.Contents = append(to.Contents, c)
		}
		responses = append(responses, to)
	}
	return responses, nil
}

func (r *renderer) responseBody(media string, m *huma.MediaType) (c content, err error) {
	c = content{Media: media, Schema: Name(m.Schema)}
	if inner, ok := m.Schema.Extensions["contentSchema"].(map[string]any); ok { // a stream
		c.Schema = Name(&huma.Schema{Ref: fmt.Sprint(inner["$ref"])})
		return c, nil
	}
	if resolved := r.schemas.Resolve(m.Schema); resolved != nil {
		for _, part := range resolved.AllOf {
			if part.Ref == "" { // what the schema adds to another
				c.Rows = append(c.Rows, r.schemas.rows(part, 0)...)
			}
		}
	}
	if media != "application/json" {
		return c, nil
	}
	if m.Example != nil {
		c.Example, err = indented(m.Example)
		return c, err
	}
	if c.Schema == "" {
		return c, nil
	}
	example, err := r.schemas.Response(m.Schema)
	if err != nil {
		return c, err
	}
	c.Example, err = indented(example)
	return c, err
}

// indented returns a value as indented JSON.
func indented(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return "", fmt.Errorf("render JSON: %w", err)
	}
	return strings.TrimSpace(b.String()), nil
}
