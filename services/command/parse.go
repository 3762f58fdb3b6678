package command

import (
	"cmp"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"coatcheck/services/spec"
)

// passed are the environment variables that every program gets, where the server has
// them.
var passed = []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"}

// Parse reads the section `commands` of a configuration file in a directory. Programs
// and arguments that begin with ./ or ../ are files relative to that directory. Error:
// [spec.Errors], all of them.
func Parse(node *yaml.Node, dir string) ([]*Command, error) {
	p := &parser{dir: dir}
	var commands []*Command
	p.Services("commands", node, func(name string, node *yaml.Node) { commands = append(commands, p.command(name, node)) })
	if p.Errors != nil {
		return nil, p.Errors
	}
	return commands, nil
}

type parser struct {
	spec.Parser
	dir string // of the configuration file
}

// command reads one command.
func (p *parser) command(name string, node *yaml.Node) *Command {
	c := &Command{Service: spec.Service{Name: name, Summary: "Run a program."}, output: outputJSON, grace: maxGrace}
	var run, progress *yaml.Node
	pass, set := slices.Clone(passed), map[string]string{}
	c.Read(&p.Parser, "commands", node, map[string]spec.Reader{
		"run":           func(_ string, v *yaml.Node) { run = v },
		"output":        func(at string, v *yaml.Node) { p.output(c, at, v) },
		"progress":      func(_ string, v *yaml.Node) { progress = v },
		"limits":        func(at string, v *yaml.Node) { p.limits(c, at, v) },
		"allow_options": func(at string, v *yaml.Node) { c.allowOptions = p.Bool(at, v) },
		"env": func(at string, v *yaml.Node) {
			p.Members(at, v, map[string]spec.Reader{
				"pass": func(at string, v *yaml.Node) {
					for _, v := range p.List(at, v) {
						pass = append(pass, p.variable(at, v))
					}
				},
				"set": func(at string, v *yaml.Node) {
					p.Texts(at, v, func(name, value *yaml.Node) { set[p.variable(at, name)] = value.Value })
				},
			})
		},
	}, map[string]spec.Reader{
		"permanent_exit": func(at string, v *yaml.Node) { c.permanentExit = p.Numbers(at, v, 1, 255) },
	})
	at := c.Path()
	if !supported {
		c.Lacks(node, "%s: programs can be run on Unix only", at)
	}
	if run == nil {
		p.Wrong(node, "%s: run is missing, such as `run: [python3, ./resize.py]`", at)
	} else {
		p.run(c, at+".run", run)
	}
	if progress != nil {
		p.progress(c, at+".progress", progress)
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

// outputPlaceholder stands for the name of the file that the program writes.
const outputPlaceholder = "{{output}}"

// output reads the form of the output: a word, or a file that the program writes.
func (p *parser) output(c *Command, at string, node *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		if !slices.Contains(outputs, node.Value) {
			p.Wrong(node, "%s: expected %s, or a file such as {file: out.mp4}", at, strings.Join(outputs, ", "))
		}
		c.output = node.Value
		return
	}
	c.output = spec.OutputFile
	p.Members(at, node, map[string]spec.Reader{
		"file": func(at string, v *yaml.Node) {
			c.file = p.Text(at, v)
			if c.file == inputDir || !filepath.IsLocal(c.file) || c.file != filepath.Base(c.file) || strings.HasPrefix(c.file, "-") {
				p.Wrong(v, "%s: expected the name of a file in the working directory, such as out.mp4", at)
			}
		},
		"content_type": func(at string, v *yaml.Node) { c.fileType = p.MediaType(at, v) },
	})
	if c.file == "" {
		p.Wrong(node, "%s: file is missing, such as `output: {file: out.mp4}`", at)
		c.file = "missing" // so that {{output}} is no further mistake
	}
}

// run reads the program and its arguments.
func (p *parser) run(c *Command, at string, node *yaml.Node) {
	list := p.List(at, node)
	if len(list) == 0 {
		p.Wrong(node, "%s: expected a program and its arguments, such as [python3, ./resize.py]", at)
	}
	for i, v := range list {
		text := strings.ReplaceAll(p.Text(at, v), outputPlaceholder, cmp.Or(c.file, outputPlaceholder))
		if strings.HasPrefix(text, "./") || strings.HasPrefix(text, "../") {
			text = filepath.Join(p.dir, text)
			if _, err := os.Stat(text); err != nil && !strings.Contains(text, "{{") {
				c.Lacks(v, "%s: there is no file %s", at, text)
			}
		}
		argument, err := spec.ParseTemplate(text, &c.Schema)
		if err != nil {
			p.Wrong(v, "%s: %s", at, err)
		}
		if i == 0 {
			p.program(c, at, v, argument)
		}
		c.arguments = append(c.arguments, argument)
	}
}

// program checks that a program can be started.
func (p *parser) program(c *Command, at string, node *yaml.Node, argument spec.Template) {
	name, ok := argument.Constant()
	if !ok || name == "" {
		p.Wrong(node, "%s: expected the name or path of a program, without placeholders", at)
		return
	}
	if _, err := exec.LookPath(name); err != nil {
		c.Lacks(node, "%s: no program %q can be started: install it, or give the path of an executable file", at, name)
	}
}

// progress reads how a line of standard error shows the progress.
func (p *parser) progress(c *Command, at string, node *yaml.Node) {
	matched := false
	p.Members(at, node, map[string]spec.Reader{
		"match": func(at string, v *yaml.Node) {
			matched = true
			re, err := regexp.Compile(p.Text(at, v))
			if err != nil || re.NumSubexp() != 1 {
				p.Wrong(v, "%s: expected a regular expression (RE2) with one group for the number, such as '(\\d+)%%'", at)
			}
			c.progress = re
		},
		"of": func(at string, v *yaml.Node) {
			var err error
			if c.progressOf, err = spec.ParseTemplate(p.Text(at, v), &c.Schema); err != nil {
				p.Wrong(v, "%s: %s", at, err)
			}
			if text, ok := c.progressOf.Constant(); ok && err == nil {
				if n, err := strconv.ParseFloat(text, 64); err != nil || n <= 0 {
					p.Wrong(v, "%s: expected a number above 0, or a placeholder", at)
				}
			}
		},
	})
	if !matched {
		p.Wrong(node, "%s: match is missing", at)
	}
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// variable reads the name of an environment variable.
func (p *parser) variable(at string, node *yaml.Node) string {
	if !variableName.MatchString(node.Value) {
		p.Wrong(node, "%s: %q is no name of an environment variable", at, node.Value)
	}
	return node.Value
}
