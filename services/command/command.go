// Package command makes services of programs: each job runs a program with the job's
// input and returns what the program prints. A YAML configuration describes them.
package command

import (
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
	spec.Service

	arguments     []spec.Template // the first one is the program
	output        string          // one of outputs
	file          string          // name of the file that the program writes, with spec.OutputFile
	fileType      string          // its media type; "" to derive it from the name
	progress      *regexp.Regexp
	progressOf    spec.Template // what the progress counts up to; nil for percent
	permanentExit []int
	limits        limits
	environment   []string // NAME=VALUE
	allowOptions  bool
	grace         time.Duration
}

// The forms of a program's standard output.
const (
	outputJSON  = "json"  // one JSON value; nothing is null
	outputText  = "text"  // a string, without the last line break
	outputLines = "lines" // a list of strings
)

var outputs = []string{outputJSON, outputText, outputLines}

// Register adds the command to a registry. Error: its name is taken.
func (c *Command) Register(r *jobs.Registry) spec.Errors {
	if c.output == spec.OutputFile {
		return spec.Register(r, &c.Service, c.output, c.check, c.runForFile)
	}
	return spec.Register(r, &c.Service, c.output, c.check, c.run)
}

// StopWithin sets how long the program may take to end after it was asked to, so that it
// has ended before a run counts as abandoned after the server's cancel grace.
func (c *Command) StopWithin(cancelGrace time.Duration) {
	c.grace = min(maxGrace, max(cancelGrace-guardGrace-time.Second, cancelGrace/2))
}

// NeedsFiles returns why a server without a place for files can't run the service; nil
// if it can.
func (c *Command) NeedsFiles() spec.Errors { return c.Service.NeedsFiles(c.output) }

// check returns why an input that its schema allows can't be passed to the program.
func (c *Command) check(input []byte) error {
	values, err := c.Schema.Values(input)
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
		if first := a.First(); strings.HasPrefix(text, "-") && !c.allowOptions && c.Schema.IsText(first) {
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
