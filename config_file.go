package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"coatcheck/services/spec"
)

// maxConfigFile is the maximum size of the file, in case another file is named by mistake.
const maxConfigFile = 1 << 20

// readFile reads the settings from a YAML file and returns all errors, each with its
// line.
func (c *config) readFile(name string) []error {
	f, err := os.Open(name) //nolint:gosec // the operator chooses the file
	if err != nil {
		return []error{fmt.Errorf("read configuration: %w", err)}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigFile+1))
	switch {
	case err != nil:
		return []error{fmt.Errorf("read configuration: %w", err)}
	case len(b) > maxConfigFile:
		return []error{fmt.Errorf("%s: expected a configuration file of at most %d bytes", name, maxConfigFile)}
	}
	return c.parse(name, b)
}

func (c *config) parse(name string, b []byte) []error {
	var document yaml.Node
	if err := yaml.Unmarshal(b, &document); err != nil {
		return []error{fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))}
	}
	if document.Kind == 0 || isNull(document.Content[0]) {
		return nil // an empty file
	}
	c.file = name
	p := fileParser{name: name, config: c}
	p.section("", document.Content[0])
	return p.errs
}

// A fileParser parses a configuration file and collects its errors.
type fileParser struct {
	name   string
	config *config
	errs   []error
}

func (p *fileParser) addError(node *yaml.Node, format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf("%s:%d: %w", p.name, node.Line, fmt.Errorf(format, args...)))
}

// section parses a mapping. prefix is "" for the whole file, or "section.".
func (p *fileParser) section(prefix string, node *yaml.Node) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		p.addError(node, "expected `name: value` lines")
		return
	}
	seen := make(map[string]bool)
	for pair := range slices.Chunk(node.Content, 2) {
		name, value := pair[0], pair[1]
		key := prefix + name.Value
		if seen[key] {
			p.addError(name, "%s is set twice", key)
			continue
		}
		seen[key] = true
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
		isSection := slices.ContainsFunc(settings, func(s setting) bool { return strings.HasPrefix(s.key, key+".") })
		switch {
		case isNull(value) && (i >= 0 || isSection):
			// The name is there without a value: keep the default.
		case i >= 0:
			if value.Kind == yaml.AliasNode {
				value = value.Alias
			}
			p.config.setSource(key, p.name)
			err := settings[i].set(p.config, value)
			if mistakes, ok := errors.AsType[spec.Errors](err); ok {
				p.errs = append(p.errs, mistakes.In(p.name)...)
			} else if err != nil {
				p.addError(value, "%s: %w", key, err)
			}
		case isSection:
			p.section(key+".", value)
		case prefix == "celery.":
			p.config.warnings = append(p.config.warnings, fmt.Sprintf("%s:%d: %s is not supported and is ignored", p.name, name.Line, key))
		default:
			p.addError(name, "unknown setting %s%s", key, suggest(key))
		}
	}
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.Tag == "!!null" }

// suggest returns a hint to the setting that was probably meant.
func suggest(key string) string {
	best, distance := "", 3
	for _, s := range settings {
		section, _, _ := strings.Cut(s.key, ".")
		for _, candidate := range []string{s.key, section} {
			if d := editDistance(key, candidate); d < distance {
				best, distance = candidate, d
			}
		}
		if _, last, ok := strings.Cut(s.key, "."); ok && last == key {
			best, distance = s.key, 0
		}
	}
	if best == "" {
		return "; config.example.yaml lists all settings"
	}
	return "; did you mean " + best + "?"
}

// editDistance returns the Levenshtein distance of two strings.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
