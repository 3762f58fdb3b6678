package command

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.yaml.in/yaml/v3"

	"coatcheck/services/spec"
)

// limits limit each process of a program; 0 means no limit.
type limits struct {
	Memory    int64 `json:"memory,omitempty"` // bytes of address space
	CPU       int64 `json:"cpu,omitempty"`    // seconds of processor time
	OpenFiles int64 `json:"open_files,omitempty"`
}

const (
	// minMemory is less than any program needs.
	minMemory = 1 << 20
	// minOpenFiles are standard input, output and error, file descriptor 3, and some more.
	minOpenFiles = 16
)

// limits reads the limits of a program.
func (p *parser) limits(c *Command, at string, node *yaml.Node) {
	p.Members(at, node, map[string]spec.Reader{
		"memory": func(at string, v *yaml.Node) { c.limits.Memory = p.Size(at, v, minMemory) },
		"cpu": func(at string, v *yaml.Node) {
			if c.limits.CPU = int64(p.Duration(at, v) / time.Second); c.limits.CPU == 0 {
				p.Wrong(v, "%s: expected at least 1s", at)
			}
		},
		"open_files": func(at string, v *yaml.Node) {
			c.limits.OpenFiles = int64(p.Number(at, v, minOpenFiles, 1_000_000))
		},
	})
	if !canLimit {
		c.Lacks(node, "%s: programs can be limited on Linux only", at)
	}
}

// limitedArgument is the argument with which a guard starts this program again in place of
// its program: it takes on the limits and becomes the program. A guard can't limit a
// process that runs already, and must not limit itself.
const limitedArgument = "limited"

// limited returns the path and the arguments that start a program with limits.
func (l limits) limited(path string, arguments []string) (string, []string, error) {
	if l == (limits{}) {
		return path, arguments, nil
	}
	self, err := thisProgram()
	if err != nil {
		return "", nil, fmt.Errorf("find this program: %w", err)
	}
	text, err := json.Marshal(l)
	if err != nil {
		return "", nil, err
	}
	return self, append([]string{arguments[0], GuardCommand, limitedArgument, string(text), path}, arguments...), nil
}

// Become limits this process and makes it the program in the arguments of [GuardCommand];
// it returns only an error. See limited.
func Become(arguments []string) error {
	if len(arguments) < 4 || arguments[0] != limitedArgument {
		return errors.New("expected no arguments")
	}
	var l limits
	if err := json.Unmarshal([]byte(arguments[1]), &l); err != nil {
		return fmt.Errorf("read the limits of a program: %w", err)
	}
	return l.become(arguments[2], arguments[3:])
}
