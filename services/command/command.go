// Package command makes services of programs: each job runs a program with the job's
// input and returns what the program prints. A YAML configuration describes them.
package command

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/services/spec"
)

// A Command is a service that runs a program.
type Command struct {
	// Name is the name of the service.
	Name string
	line int // in the configuration file

	summary       string
	arguments     []spec.Template // the first one is the program
	schema        spec.Schema     // of the input
	output        string          // one of outputs
	file          string          // name of the file that the program writes, with outputFile
	fileType      string          // its media type; "" to derive it from the name
	progress      *regexp.Regexp
	progressOf    spec.Template // what the progress counts up to; nil for percent
	timeout       time.Duration
	attempts      int
	concurrency   int // 0 for no limit
	permanentExit []int
	limits        limits
	environment   []string // NAME=VALUE
	allowOptions  bool
	grace         time.Duration
	missing       spec.Errors // files and programs that are not on this machine
}

// The forms of a program's standard output.
const (
	outputJSON  = "json"  // one JSON value; nothing is null
	outputText  = "text"  // a string, without the last line break
	outputLines = "lines" // a list of strings
	outputFile  = "file"  // nothing; the output is a file that the program writes
)

var outputs = []string{outputJSON, outputText, outputLines}

// outputSchemas are the JSON Schemas of the forms.
var outputSchemas = map[string]json.RawMessage{
	outputJSON:  json.RawMessage(`{"description": "What the program prints."}`),
	outputText:  json.RawMessage(`{"type": "string", "description": "What the program prints."}`),
	outputLines: json.RawMessage(`{"type": "array", "items": {"type": "string"}, "description": "The lines that the program prints."}`),
}

// Register adds the command to a registry. Error: its name is taken.
func (c *Command) Register(r *jobs.Registry) spec.Errors {
	if r.Get(c.Name) != nil {
		return spec.Errors{{Line: c.line, Text: "commands." + c.Name + ": there is a service of this name already"}}
	}
	service := jobs.Service{
		Name: c.Name, Summary: c.summary, Timeout: c.timeout, MaxAttempts: c.attempts, Concurrency: c.concurrency,
		InputSchema: c.schema.JSON, OutputSchema: outputSchemas[c.output], Check: c.check, External: true,
	}
	if c.output == outputFile {
		service.OutputSchema = spec.FileSchema
		jobs.Add(r, service, c.runForFile)
	} else {
		jobs.Add(r, service, c.run)
	}
	return nil
}

// StopWithin sets how long the program may take to end after it was asked to, so that it
// has ended before a run counts as abandoned after the server's cancel grace.
func (c *Command) StopWithin(cancelGrace time.Duration) {
	c.grace = min(maxGrace, max(cancelGrace-guardGrace-time.Second, cancelGrace/2))
}

// NeedsFiles returns why a server without a directory for files can't run the service; nil
// if it can.
func (c *Command) NeedsFiles() spec.Errors {
	if c.output != outputFile {
		return nil
	}
	return spec.Errors{{
		Line: c.line, Text: "commands." + c.Name + ".output: to return files, set files.dir to a directory that all processes share",
	}}
}

// Missing returns which of the command's files and programs are not on this machine.
func (c *Command) Missing() spec.Errors { return c.missing }

// check returns why an input that its schema allows can't be passed to the program.
func (c *Command) check(input []byte) error {
	values, err := c.schema.Values(input)
	if err != nil {
		return err
	}
	_, err = c.fill(values)
	return err
}

// maxArgument is how many bytes an argument of a program may have (Linux).
const maxArgument = 128<<10 - 1

// fill returns the program and its arguments with the values of an input. Error: a text
// would be an option of the program.
func (c *Command) fill(values spec.Values) ([]string, error) {
	arguments := make([]string, len(c.arguments))
	for i, a := range c.arguments {
		text, err := a.Fill(values, nil)
		if err != nil {
			return nil, err
		}
		if len(text) > maxArgument {
			return nil, fmt.Errorf("an argument has %d bytes: a program can take at most %d", len(text), maxArgument)
		}
		// A number may begin with -, if the schema allows it.
		if first := a.First(); strings.HasPrefix(text, "-") && !c.allowOptions && c.schema.IsText(first) {
			return nil, fmt.Errorf("%s must not begin with -, or the program would take it for an option", first)
		}
		arguments[i] = text
	}
	return arguments, nil
}

// hasPlaceholder reports whether any argument has one: then the input does not go to
// standard input.
func (c *Command) hasPlaceholder() bool {
	return slices.ContainsFunc(c.arguments, spec.Template.HasPlaceholder)
}
