package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// ServiceURL returns the URL of a service.
func (c *Client) ServiceURL(name string) string {
	return c.URL + "/v1/services/" + url.PathEscape(name)
}

// Services returns the name and the summary of each service, separated by a tab; nil if
// the server does not answer.
func (c *Client) Services(ctx context.Context) (names []string) {
	var list struct {
		Data []struct{ Name, Summary string }
	}
	if _, err := c.Call(ctx, http.MethodGet, c.URL+"/v1/services", nil, nil, &list); err != nil {
		return nil
	}
	for _, s := range list.Data {
		names = append(names, s.Name+"\t"+s.Summary)
	}
	return names
}

// A property is a property of a service's input.
type property struct {
	Type   any
	Format string
	Items  *property
}

// isFile reports whether the property is a file or a list of files.
func (p *property) isFile() bool {
	return p.Type == "string" && p.Format == "binary" || p.Type == "array" && p.Items != nil && p.Items.isFile()
}

// Assign adds arguments to the input of a service: NAME=VALUE and NAME:=JSON. A VALUE
// that the service's schema wants as a text is one; any other is JSON if it parses as
// JSON, and else a text, which the server then rejects with a reason. NAME=@PATH is a
// file where the schema wants one, unless it is named by its URL; files are the paths by their names. Error: an
// [ArgumentError], or one of [Client.Call].
func (c *Client) Assign(
	ctx context.Context, service string, input map[string]json.RawMessage, args []string,
) (files map[string][]string, err error) {
	if len(args) == 0 {
		return nil, nil
	}
	var described struct {
		Input struct {
			Properties map[string]property
		} `json:"input_schema"`
	}
	if _, err := c.Call(ctx, http.MethodGet, c.ServiceURL(service), nil, nil, &described); err != nil {
		return nil, err
	}
	files = make(map[string][]string)
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		name, asJSON := strings.CutSuffix(name, ":")
		p := described.Input.Properties[name]
		switch {
		case !ok || name == "":
			return nil, BadArgument(fmt.Errorf("expected NAME=VALUE or NAME:=JSON, got %q", arg))
		case p.isFile():
			path, ok := strings.CutPrefix(value, "@")
			if !ok && p.Type == "string" && (strings.HasPrefix(value, "https://") || strings.HasPrefix(value, "http://")) {
				if input[name], err = json.Marshal(value); err != nil {
					return nil, err
				}
				continue
			}
			if !ok || path == "" || asJSON {
				return nil, BadArgument(fmt.Errorf("%s is a file: expected %s=@PATH or its URL, got %q", name, name, arg))
			}
			files[name] = append(files[name], path)
		case asJSON && !json.Valid([]byte(value)):
			return nil, BadArgument(fmt.Errorf("%s: expected JSON after :=, got %q", name, value))
		case asJSON, !wantsText(p.Type) && json.Valid([]byte(value)):
			input[name] = json.RawMessage(value)
		default:
			text, err := json.Marshal(value)
			if err != nil {
				return nil, err
			}
			input[name] = text
		}
	}
	return files, nil
}

// wantsText reports whether a schema's type is a text and nothing else but
// null.
func wantsText(schemaType any) bool {
	types, ok := schemaType.([]any)
	if !ok {
		types = []any{schemaType}
	}
	text := false
	for _, t := range types {
		text = text || t == "string"
		if t != "string" && t != "null" {
			return false
		}
	}
	return text
}
