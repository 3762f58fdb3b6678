package command

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"coatcheck/jobs"

	"go.yaml.in/yaml/v3"
)

// passed are the environment variables that every program gets, where the server has
// them.
var passed = []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"}

// Parse reads the section `commands` of a configuration file in a directory. Programs
// and arguments that begin with ./ or ../ are files relative to that directory. Error:
// [ConfigErrors], all of them.
func Parse(node *yaml.Node, dir string) ([]*Command, error) {
	p := &parser{dir: dir}
	var commands []*Command
	node = target(node)
	if node.Kind != yaml.MappingNode {
		p.wrong(node, "commands: expected names of services, each with a `run:`")
		return nil, p.mistakes
	}
	seen := make(map[string]bool)
	for pair := range slices.Chunk(node.Content, 2) {
		name := pair[0]
		switch {
		case seen[name.Value]:
			p.wrong(name, "commands.%s is there twice", name.Value)
		case !jobs.ValidServiceName(name.Value):
			p.wrong(name, "commands.%s: expected a name such as resize or image.resize: words of lower case letters, digits and _, joined by dots", name.Value)
		default:
			commands = append(commands, p.command(name.Value, pair[1]))
		}
		seen[name.Value] = true
	}
	if p.mistakes != nil {
		return nil, p.mistakes
	}
	return commands, nil
}

// command reads one command.
func (p *parser) command(name string, node *yaml.Node) *Command {
	c := &Command{Name: name, summary: "Run a program.", output: outputJSON}
	at := "commands." + name
	var run *yaml.Node
	var progress func()
	pass, set := slices.Clone(passed), map[string]string{}
	input := &yaml.Node{Kind: yaml.MappingNode, Line: node.Line}
	p.members(at, node, map[string]func(string, *yaml.Node){
		"summary": func(at string, v *yaml.Node) { c.summary = p.text(at, v) },
		"run":     func(_ string, v *yaml.Node) { run = v },
		"input":   func(_ string, v *yaml.Node) { input = v },
		"output": func(at string, v *yaml.Node) {
			if c.output = p.text(at, v); !slices.Contains(outputs, c.output) {
				p.wrong(v, "%s: expected %s", at, strings.Join(outputs, ", "))
			}
		},
		"progress": func(at string, v *yaml.Node) { progress = func() { p.progress(c, at, v) } },
		"timeout":  func(at string, v *yaml.Node) { c.timeout = p.duration(at, v) },
		"retry": func(at string, v *yaml.Node) {
			p.members(at, v, map[string]func(string, *yaml.Node){
				"attempts": func(at string, v *yaml.Node) { c.attempts = p.number(at, v, 1, 100) },
				"permanent_exit": func(at string, v *yaml.Node) {
					for _, v := range p.list(at, v) {
						c.permanentExit = append(c.permanentExit, p.number(at, v, 1, 255))
					}
				},
			})
		},
		"env": func(at string, v *yaml.Node) {
			p.members(at, v, map[string]func(string, *yaml.Node){
				"pass": func(at string, v *yaml.Node) {
					for _, v := range p.list(at, v) {
						pass = append(pass, p.variable(at, v, v.Value))
					}
				},
				"set": func(at string, v *yaml.Node) { set = p.variables(at, v) },
			})
		},
		"allow_options": func(at string, v *yaml.Node) {
			if v.Decode(&c.allowOptions) != nil {
				p.wrong(v, "%s: expected true or false", at)
			}
		},
	})
	p.input(c, at+".input", input)
	if run == nil {
		p.wrong(node, "%s: run is missing, such as `run: [python3, ./resize.py]`", at)
	} else {
		p.run(c, at+".run", run)
	}
	if progress != nil {
		progress()
	}
	for _, name := range pass {
		if value, ok := os.LookupEnv(name); ok {
			c.environment = append(c.environment, name+"="+value)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(set)) { // the last one counts
		c.environment = append(c.environment, name+"="+set[name])
	}
	return c
}

// run reads the program and its arguments.
func (p *parser) run(c *Command, at string, node *yaml.Node) {
	list := p.list(at, node)
	if len(list) == 0 {
		p.wrong(node, "%s: expected a program and its arguments, such as [python3, ./resize.py]", at)
	}
	for i, v := range list {
		text := p.text(at, v)
		a, err := parseArgument(text, c.properties)
		if err != nil {
			p.wrong(v, "%s: %s", at, err)
		}
		if isLocal := strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../"); isLocal && len(a) == 1 {
			a[0].text = filepath.Join(p.dir, text)
			if _, err := os.Stat(a[0].text); err != nil {
				c.lacks(v, "%s: there is no file %s", at, a[0].text)
			}
		}
		if i == 0 {
			p.program(c, at, v, a)
		}
		c.arguments = append(c.arguments, a)
	}
}

func (c *Command) lacks(node *yaml.Node, format string, args ...any) {
	c.missing = append(c.missing, ConfigError{node.Line, fmt.Sprintf(format, args...)})
}

// program checks that a program can be started.
func (p *parser) program(c *Command, at string, node *yaml.Node, a argument) {
	if len(a) != 1 || a[0].property != "" {
		p.wrong(node, "%s: expected the name or path of a program, without placeholders", at)
		return
	}
	if _, err := exec.LookPath(a[0].text); err != nil {
		c.lacks(node, "%s: no program %q can be started: install it, or give the path of an executable file", at, a[0].text)
	}
}

// input reads the schema of the input.
func (p *parser) input(c *Command, at string, node *yaml.Node) {
	var schema map[string]any
	if err := node.Decode(&schema); err != nil || node.Kind != yaml.MappingNode {
		p.wrong(node, "%s: expected a JSON Schema such as {type: object, properties: {url: {type: string}}}", at)
		return
	}
	if schema == nil {
		schema = make(map[string]any)
	}
	if t := cmp.Or[any](schema["type"], "object"); t != "object" {
		p.wrong(node, "%s: expected a schema of type object, got %v", at, t)
		return
	}
	schema["type"] = "object"
	if _, ok := schema["additionalProperties"]; !ok {
		schema["additionalProperties"] = false
	}
	noteOrder(node, schema)
	text, err := json.Marshal(schema)
	if err == nil {
		err = checkSchema(text)
	}
	if err != nil {
		p.wrong(node, "%s: this is no JSON Schema that can be used: %s", at, err)
		return
	}
	var known struct {
		Properties map[string]property `json:"properties"`
		Required   []string            `json:"required"`
	}
	if err := json.Unmarshal(text, &known); err != nil {
		p.wrong(node, "%s: %s", at, err)
	}
	for name, property := range known.Properties {
		property.required = slices.Contains(known.Required, name)
		known.Properties[name] = property
	}
	c.input, c.properties = text, known.Properties
}

// noteOrder notes the order of the properties, in which a form shows them.
func noteOrder(node *yaml.Node, schema map[string]any) {
	properties, _ := schema["properties"].(map[string]any)
	for pair := range slices.Chunk(node.Content, 2) {
		if pair[0].Value != "properties" {
			continue
		}
		for i, name := range target(pair[1]).Content {
			if property, ok := properties[name.Value].(map[string]any); ok && i%2 == 0 && property["x-order"] == nil {
				property["x-order"] = i / 2
			}
		}
	}
}

// progress reads how a line of standard error shows the progress.
func (p *parser) progress(c *Command, at string, node *yaml.Node) {
	p.members(at, node, map[string]func(string, *yaml.Node){
		"match": func(at string, v *yaml.Node) {
			re, err := regexp.Compile(p.text(at, v))
			if err != nil || re.NumSubexp() != 1 {
				p.wrong(v, "%s: expected a regular expression (RE2) with one group for the number, such as '(\\d+)%%'", at)
				return
			}
			c.progress = re
		},
		"of": func(at string, v *yaml.Node) {
			var err error
			if c.progressOf, err = parseArgument(p.text(at, v), c.properties); err != nil {
				p.wrong(v, "%s: %s", at, err)
			}
		},
	})
	if c.progress == nil && len(p.mistakes) == 0 {
		p.wrong(node, "%s: match is missing", at)
	}
}

func (p *parser) text(at string, node *yaml.Node) string {
	if node.Kind != yaml.ScalarNode || strings.ContainsRune(node.Value, 0) {
		p.wrong(node, "%s: expected a text", at)
	}
	return node.Value
}

func (p *parser) list(at string, node *yaml.Node) []*yaml.Node {
	if node.Kind != yaml.SequenceNode {
		p.wrong(node, "%s: expected a list, such as [a, b]", at)
		return nil
	}
	return node.Content
}

func (p *parser) number(at string, node *yaml.Node, least, most int) int {
	n, err := strconv.Atoi(node.Value)
	if err != nil || n < least || n > most {
		p.wrong(node, "%s: expected a number from %d to %d", at, least, most)
	}
	return n
}

func (p *parser) duration(at string, node *yaml.Node) time.Duration {
	d, err := time.ParseDuration(node.Value)
	if err != nil || d <= 0 {
		p.wrong(node, "%s: expected a duration such as 30m", at)
	}
	return d
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (p *parser) variable(at string, node *yaml.Node, name string) string {
	if !variableName.MatchString(name) {
		p.wrong(node, "%s: %q is no name of an environment variable", at, name)
	}
	return name
}

func (p *parser) variables(at string, node *yaml.Node) map[string]string {
	set := make(map[string]string)
	if node.Kind != yaml.MappingNode {
		p.wrong(node, "%s: expected `NAME: value` lines", at)
		return set
	}
	for pair := range slices.Chunk(node.Content, 2) {
		set[p.variable(at, pair[0], pair[0].Value)] = p.text(at, target(pair[1]))
	}
	return set
}

// alternatives lists the names of settings.
func alternatives[T any](read map[string]T) string {
	return strings.Join(slices.Sorted(maps.Keys(read)), ", ")
}
