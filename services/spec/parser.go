// Package spec reads the services that a YAML configuration describes: what programs
// and HTTP servers have in common, such as schemas and placeholders.
package spec

import (
	"fmt"
	"maps"
	"math"
	"mime"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"coatcheck/jobs"
)

// A Parser reads a part of a configuration file and collects its mistakes.
type Parser struct {
	// Errors are the mistakes so far.
	Errors Errors
}

// Wrong records a mistake at a node.
func (p *Parser) Wrong(node *yaml.Node, format string, args ...any) {
	p.Errors = append(p.Errors, Error{node.Line, fmt.Sprintf(format, args...)})
}

// Services calls read with each entry of a section that maps names of services to their
// settings.
func (p *Parser) Services(section string, node *yaml.Node, read func(name string, node *yaml.Node)) {
	node = target(node)
	if node.Kind != yaml.MappingNode {
		p.Wrong(node, "%s: expected names of services, each with its settings", section)
		return
	}
	seen := make(map[string]bool)
	for pair := range slices.Chunk(node.Content, 2) {
		name := pair[0]
		switch {
		case seen[name.Value]:
			p.Wrong(name, "%s.%s is there twice", section, name.Value)
		case !jobs.ValidServiceName(name.Value):
			p.Wrong(name, "%s.%s: expected a name such as resize or image.resize: words of lower case letters, digits and _, joined by dots", section, name.Value)
		default:
			read(name.Value, target(pair[1]))
		}
		seen[name.Value] = true
	}
}

// A Reader reads the value of a setting. Its first argument is the setting's full name.
type Reader func(at string, value *yaml.Node)

// Members calls the reader of each member of a mapping, unless the member is null.
// Members without a reader, and those that come twice, are mistakes.
func (p *Parser) Members(at string, node *yaml.Node, readers map[string]Reader) {
	if node.Kind != yaml.MappingNode {
		p.Wrong(node, "%s: expected `name: value` lines", at)
		return
	}
	members, err := pairs(node, 0)
	if err != nil {
		p.Wrong(node, "%s: %s", at, err)
		return
	}
	seen := make(map[string]bool)
	for _, m := range members {
		name, value := m.name, m.value
		read, known := readers[name.Value]
		switch {
		case seen[name.Value]:
			p.Wrong(name, "%s.%s is set twice", at, name.Value)
		case !known:
			p.Wrong(name, "unknown setting %s.%s: expected %s", at, name.Value, strings.Join(slices.Sorted(maps.Keys(readers)), ", "))
		case value.Kind == yaml.ScalarNode && value.Tag == "!!null":
			// Named, but not set.
		default:
			read(at+"."+name.Value, value)
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

// Text reads a text without NUL.
func (p *Parser) Text(at string, node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		p.Wrong(node, "%s: expected a text; put a text that begins with { in quotes", at)
	case node.Kind != yaml.ScalarNode || node.Tag == "!!null" || strings.ContainsRune(node.Value, 0):
		p.Wrong(node, "%s: expected a text", at)
	}
	return node.Value
}

// OneOf reads one of some words.
func (p *Parser) OneOf(at string, node *yaml.Node, words ...string) string {
	if !slices.Contains(words, node.Value) {
		p.Wrong(node, "%s: expected %s", at, strings.Join(words, ", "))
	}
	return node.Value
}

var (
	size      = regexp.MustCompile(`^([0-9][0-9_]{0,20}) ?(B|KiB|MiB|GiB|TiB)?$`)
	sizeUnits = map[string]int64{"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
)

// ParseSize returns the number of bytes that a text such as 512MiB, 1_000_000 or 2GiB means. It
// reports false if the text is not a size, or one of 2⁶³ bytes or more.
func ParseSize(text string) (bytes int64, ok bool) {
	m := size.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(m[1], "_", ""), 10, 64)
	unit := sizeUnits[m[2]]
	return n * unit, err == nil && n <= math.MaxInt64/unit
}

// Size reads a number of bytes such as 512MiB.
func (p *Parser) Size(at string, node *yaml.Node, least int64) int64 {
	bytes, ok := ParseSize(node.Value)
	switch {
	case !ok:
		p.Wrong(node, "%s: expected a size such as 512MiB or 2GiB", at)
	case bytes < least:
		p.Wrong(node, "%s: expected at least %d bytes", at, least)
	}
	return bytes
}

// MediaType reads a media type such as video/mp4 (RFC 9110, section 8.3.1).
func (p *Parser) MediaType(at string, node *yaml.Node) string {
	media, _, err := mime.ParseMediaType(node.Value)
	if err != nil || !strings.Contains(media, "/") {
		p.Wrong(node, "%s: expected a media type such as video/mp4", at)
	}
	return node.Value
}

// List reads a list.
func (p *Parser) List(at string, node *yaml.Node) []*yaml.Node {
	if node.Kind != yaml.SequenceNode {
		p.Wrong(node, "%s: expected a list, such as [a, b]", at)
		return nil
	}
	list := make([]*yaml.Node, len(node.Content))
	for i, item := range node.Content {
		list[i] = target(item)
	}
	return list
}

// Numbers reads a list of whole numbers.
func (p *Parser) Numbers(at string, node *yaml.Node, least, most int) (numbers []int) {
	for _, v := range p.List(at, node) {
		numbers = append(numbers, p.Number(at, v, least, most))
	}
	return numbers
}

// Number reads a whole number.
func (p *Parser) Number(at string, node *yaml.Node, least, most int) int {
	n, err := strconv.Atoi(node.Value)
	if err != nil || n < least || n > most {
		p.Wrong(node, "%s: expected a number from %d to %d", at, least, most)
	}
	return n
}

// Bool reads true or false.
func (p *Parser) Bool(at string, node *yaml.Node) (b bool) {
	if node.Decode(&b) != nil {
		p.Wrong(node, "%s: expected true or false", at)
	}
	return b
}

// Duration reads a duration above 0, such as 30m.
func (p *Parser) Duration(at string, node *yaml.Node) time.Duration {
	d, err := time.ParseDuration(node.Value)
	if err != nil || d <= 0 {
		p.Wrong(node, "%s: expected a duration such as 30m", at)
	}
	return d
}

// Texts calls read with each member of a mapping from names to texts, in order.
func (p *Parser) Texts(at string, node *yaml.Node, read func(name, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		p.Wrong(node, "%s: expected `NAME: value` lines", at)
		return
	}
	members, err := pairs(node, 0)
	if err != nil {
		p.Wrong(node, "%s: %s", at, err)
	}
	seen := make(map[string]bool)
	for _, m := range members {
		if seen[m.name.Value] {
			p.Wrong(m.name, "%s.%s is set twice", at, m.name.Value)
		}
		seen[m.name.Value] = true
		p.Text(at+"."+m.name.Value, m.value)
		read(m.name, m.value)
	}
}
