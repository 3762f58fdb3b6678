package spec

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"go.yaml.in/yaml/v3"

	"coatcheck/jobs"
)

// A Service has what all services that a configuration describes have in common.
type Service struct {
	// Name is the name of the service.
	Name string
	// Summary describes it in a line.
	Summary string
	// Schema is the JSON Schema of its input.
	Schema Schema
	// Timeout limits an attempt. The zero values of Timeout, Attempts and Concurrency are the
	// server's defaults.
	Timeout               time.Duration
	Attempts, Concurrency int

	section string // of the configuration
	line    int
	missing Errors
}

// OutputFile is the form of an output that is a file.
const OutputFile = "file"

// outputSchemas are the JSON Schemas of the forms of output.
var outputSchemas = map[string]json.RawMessage{
	"json":     json.RawMessage(`{"description": "What the service returns."}`),
	"text":     json.RawMessage(`{"type": "string", "description": "What the service returns."}`),
	"lines":    json.RawMessage(`{"type": "array", "items": {"type": "string"}, "description": "The lines that the service returns."}`),
	OutputFile: FileSchema,
}

// Read reads the settings of a service in a section. Members are the settings that only services of
// this section have, retry those of them that are members of `retry`.
func (s *Service) Read(p *Parser, section string, node *yaml.Node, members, retry map[string]Reader) {
	s.section, s.line = section, node.Line
	var input *yaml.Node
	all := map[string]Reader{
		"summary":     func(at string, v *yaml.Node) { s.Summary = p.Text(at, v) },
		"input":       func(_ string, v *yaml.Node) { input = v },
		"timeout":     func(at string, v *yaml.Node) { s.Timeout = p.Duration(at, v) },
		"concurrency": func(at string, v *yaml.Node) { s.Concurrency = p.Number(at, v, 1, 10_000) },
		"retry": func(at string, v *yaml.Node) {
			attempts := map[string]Reader{
				"attempts": func(at string, v *yaml.Node) { s.Attempts = p.Number(at, v, 1, 100) },
			}
			maps.Copy(attempts, retry)
			p.Members(at, v, attempts)
		},
	}
	maps.Copy(all, members)
	p.Members(s.Path(), node, all)
	s.Schema = p.Schema(s.Path()+".input", input)
}

// Path returns the name of the service's settings in the configuration.
func (s *Service) Path() string { return s.section + "." + s.Name }

// Lacks records that something is not on this machine.
func (s *Service) Lacks(node *yaml.Node, format string, args ...any) {
	s.missing = append(s.missing, Error{Line: node.Line, Text: fmt.Sprintf(format, args...)})
}

// Missing returns what is not on this machine.
func (s *Service) Missing() Errors { return s.missing }

// Register adds the service to a registry. Output is the form of its output: "json", "text", "lines"
// or [OutputFile]. Check returns why an input that the schema allows is wrong all the same. Error:
// the name is taken.
func Register[T any](
	r *jobs.Registry, s *Service, output string, check func([]byte) error,
	run func(context.Context, json.RawMessage) (T, error),
) Errors {
	if r.Get(s.Name) != nil {
		return Errors{{Line: s.line, Text: s.Path() + ": there is a service of this name already"}}
	}
	jobs.Add(r, jobs.Service{
		Name: s.Name, Summary: s.Summary, Timeout: s.Timeout, MaxAttempts: s.Attempts, Concurrency: s.Concurrency,
		InputSchema: s.Schema.JSON, OutputSchema: outputSchemas[output], Check: check, External: true,
	}, run)
	return nil
}

// NeedsFiles returns why a server without a place for files can't run the service with this form
// of output; nil if it can.
func (s *Service) NeedsFiles(output string) Errors {
	what := ".output: to return"
	if names := s.Schema.Files(); len(names) > 0 {
		what = ".input." + names[0] + ": to take"
	} else if output != OutputFile {
		return nil
	}
	return Errors{{
		Line: s.line, Text: s.Path() + what + " files, set files.dir to a directory that all processes share, or files.s3",
	}}
}
