package command

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A ConfigError is a mistake in the configuration.
type ConfigError struct {
	// Line is its line in the file, from 1.
	Line int
	// Text says what is wrong and what would be right.
	Text string
}

// ConfigErrors are all mistakes in the configuration.
type ConfigErrors []ConfigError

// In returns an error for each mistake, with the name of the file and the line.
func (m ConfigErrors) In(file string) []error {
	errs := make([]error, len(m))
	for i, mistake := range m {
		errs[i] = fmt.Errorf("%s:%d: %s", file, mistake.Line, mistake.Text)
	}
	return errs
}

// Error implements error.
func (m ConfigErrors) Error() string {
	texts := make([]string, len(m))
	for i, mistake := range m {
		texts[i] = fmt.Sprintf("line %d: %s", mistake.Line, mistake.Text)
	}
	return strings.Join(texts, "\n")
}

// A parser reads the configuration of commands.
type parser struct {
	dir      string // of the configuration file
	mistakes ConfigErrors
}

func (p *parser) wrong(node *yaml.Node, format string, args ...any) {
	p.mistakes = append(p.mistakes, ConfigError{node.Line, fmt.Sprintf(format, args...)})
}

// members calls read with each member of a mapping. Members that there are not, and
// those that come twice, are mistakes.
func (p *parser) members(at string, node *yaml.Node, read map[string]func(at string, value *yaml.Node)) {
	node = target(node)
	if node.Kind != yaml.MappingNode {
		p.wrong(node, "%s: expected `name: value` lines", at)
		return
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], target(node.Content[i+1])
		set, known := read[name.Value]
		switch {
		case seen[name.Value]:
			p.wrong(name, "%s.%s is set twice", at, name.Value)
		case !known:
			p.wrong(name, "%s.%s is no setting: expected %s", at, name.Value, alternatives(read))
		case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
			// Named, but not set.
		default:
			set(at+"."+name.Value, value)
		}
		seen[name.Value] = true
	}
}

// target returns what an alias stands for.
func target(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}
