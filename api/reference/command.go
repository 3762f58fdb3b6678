package reference

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// A command is a curl command, which works as it is printed.
type command struct {
	ID, Media string
	Text      string
	// Variables are the environment variables that it needs.
	Variables []variable
}

type variable struct{ Name, Meaning string }

// variables are the environment variables of parameters.
var variables = map[string]variable{
	"job":      {"JOB", "the token or id of a job"},
	"upload":   {"UPLOAD", "the id of a file of the job's input"},
	"delivery": {"DELIVERY", "the id of a delivery"},
	"key":      {"KEY", "the id of a secret"},
}

// commands returns the curl commands of an operation: one for each media type of its body.
func (r *renderer) commands(o *operation, op *huma.Operation) []command {
	base := command{ID: "curl-" + o.ID}
	url, quote := r.example(o, &base), "'"
	if strings.Contains(url, "$") {
		quote = `"`
	}
	lines := []string{"curl -s" + streaming(op) + method(o) + " " + quote + url + quote}
	if r.Secured && len(op.Security) > 0 && len(op.Security[0]) > 0 {
		lines = append(lines, `-H "Authorization: Bearer $API_KEY"`)
		base.Variables = append(base.Variables, variable{"API_KEY", "an API key"})
	}
	if op.RequestBody == nil {
		base.Text = strings.Join(lines, " \\\n  ")
		return []command{base}
	}
	var commands []command
	for _, body := range o.Bodies {
		c, more := base, slices.Clip(lines)
		c.Media = body.Media
		if strings.HasPrefix(body.Media, "multipart/") {
			c.ID += "-form"
			more = append(more, r.formParts(op, &c)...)
		} else {
			more = append(more, "-H 'Content-Type: "+body.Media+"'", "-d "+shellQuoted(compact(body.Example)))
		}
		c.Text = strings.Join(more, " \\\n  ")
		commands = append(commands, c)
	}
	return commands
}

// example returns the URL of an operation with values for what is required.
func (r *renderer) example(o *operation, c *command) string {
	path, query := o.Path, ""
	for _, p := range o.Parameters {
		v, known := variables[p.Name]
		switch {
		case p.In == "path" && p.Name == "service":
			path = strings.ReplaceAll(path, "{service}", r.service)
		case p.In == "path" && known:
			path = strings.ReplaceAll(path, "{"+p.Name+"}", "$"+v.Name)
			c.Variables = append(c.Variables, v)
		case p.In == "query" && p.Required && known:
			query = "?" + p.Name + "=$" + v.Name
			c.Variables = append(c.Variables, v)
		}
	}
	return BaseURL + path + query
}

// method returns curl's option for a method that it does not choose itself.
func method(o *operation) string {
	switch {
	case o.Method == http.MethodGet, o.Method == http.MethodPost && len(o.Bodies) > 0:
		return ""
	default:
		return " -X " + o.Method
	}
}

// streaming returns curl's option for event streams.
func streaming(op *huma.Operation) string {
	if r := op.Responses["200"]; r != nil && r.Content["text/event-stream"] != nil && !submits(op) {
		return "N"
	}
	return ""
}

// formParts returns the parts of a multipart form: the input without its files, and the files.
func (r *renderer) formParts(op *huma.Operation, c *command) (parts []string) {
	form := r.schemas.Resolve(op.RequestBody.Content["multipart/form-data"].Schema)
	example, err := r.schemas.Request(op.RequestBody.Content["application/json"].Schema)
	var body struct{ Input map[string]json.RawMessage }
	if err != nil || json.Unmarshal(example, &body) != nil {
		return nil
	}
	for name := range body.Input {
		if form.Properties[name] != nil {
			delete(body.Input, name)
		}
	}
	if len(body.Input) > 0 {
		input, _ := json.Marshal(body.Input) // marshaling JSON cannot fail
		parts = append(parts, "-F "+shellQuoted("input="+string(input)))
	}
	for _, name := range form.Required {
		parts = append(parts, `-F `+shellQuoted(name+"=@")+`"$FILE"`)
	}
	if len(form.Required) == 0 {
		return parts
	}
	c.Variables = append(c.Variables, variable{"FILE", "the path of a file"})
	return parts
}

// shellQuoted returns text as a single-quoted word of a shell.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// compact returns a short JSON text on one line.
func compact(text string) string {
	b, err := json.Marshal(json.RawMessage(text))
	if err != nil || len(b) > 72 {
		return text
	}
	return string(b)
}
