package spec

import (
	"fmt"
	"strings"
)

// An Error is a mistake in a configuration file.
type Error struct {
	// Line is its line in the file, from 1.
	Line int
	// Text describes what is wrong and what would be right.
	Text string
}

// Errors are all mistakes in a part of a configuration file.
type Errors []Error

// In returns an error for each mistake, with the name of the file and the line.
func (e Errors) In(file string) []error {
	errs := make([]error, len(e))
	for i, one := range e {
		errs[i] = fmt.Errorf("%s:%d: %s", file, one.Line, one.Text)
	}
	return errs
}

// Error implements error.
func (e Errors) Error() string {
	texts := make([]string, len(e))
	for i, one := range e {
		texts[i] = fmt.Sprintf("line %d: %s", one.Line, one.Text)
	}
	return strings.Join(texts, "\n")
}
