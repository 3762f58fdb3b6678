// Package command makes services of programs: each job runs a program with the job's
// input and returns what the program prints. A YAML configuration describes them.
package command

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"time"

	"coatcheck/jobs"
)

// A Command is a service that runs a program.
type Command struct {
	// Name is the name of the service.
	Name string

	summary       string
	arguments     []argument
	input         json.RawMessage // JSON Schema
	properties    map[string]property
	output        string // one of outputs
	progress      *regexp.Regexp
	progressOf    argument // what the progress counts up to; nil for percent
	timeout       time.Duration
	attempts      int
	permanentExit []int
	environment   []string // NAME=VALUE
	allowOptions  bool
	missing       ConfigErrors // files and programs that are not on this machine
}

// The forms of a program's standard output.
const (
	outputJSON  = "json"  // one JSON value; nothing is null
	outputText  = "text"  // a string, without the last line break
	outputLines = "lines" // a list of strings
)

var outputs = []string{outputJSON, outputText, outputLines}

// outputSchemas are the JSON Schemas of the forms.
var outputSchemas = map[string]json.RawMessage{
	outputJSON:  json.RawMessage(`{"description": "What the program prints."}`),
	outputText:  json.RawMessage(`{"type": "string", "description": "What the program prints."}`),
	outputLines: json.RawMessage(`{"type": "array", "items": {"type": "string"}, "description": "The lines that the program prints."}`),
}

// Register adds the command to a registry. Error: its name is taken.
func (c *Command) Register(r *jobs.Registry) error {
	if r.Get(c.Name) != nil {
		return fmt.Errorf("commands.%s: there is a service of this name already", c.Name)
	}
	jobs.Add(r, jobs.Service{
		Name: c.Name, Summary: c.summary, Timeout: c.timeout, MaxAttempts: c.attempts,
		InputSchema: c.input, OutputSchema: outputSchemas[c.output], Check: c.check, External: true,
	}, func(ctx context.Context, input json.RawMessage) (json.RawMessage, error) { return c.run(ctx, input) })
	return nil
}

// Missing returns which of the command's files and programs are not on this machine.
func (c *Command) Missing() ConfigErrors { return c.missing }

// check returns why an input that its schema allows can't be passed to the program.
func (c *Command) check(input []byte) error {
	values, err := c.values(input)
	if err != nil {
		return err
	}
	_, err = c.fill(values)
	return err
}
