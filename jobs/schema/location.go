package schema

import (
	"iter"
	"maps"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

const (
	// MaxLocation is the maximum length of an error location in bytes.
	MaxLocation = 1000
	// maxEcho is the maximum number of bytes of a client's text that an error
	// message repeats.
	maxEcho = 100
)

// A ProblemError is one validation error in a request.
type ProblemError struct {
	Location string `json:"location" doc:"Where, such as body.input.seconds."`
	Message  string `json:"message"`
	Value    any    `json:"value,omitempty"`
}

// A location is a human-readable position in a request, such as body.tags[0].
// Do not compare locations; compare paths. A member can have any name, even
// "tags[0]".
type location struct{ strings.Builder }

func newLocation(at string) *location {
	l := new(location)
	l.WriteString(at)
	return l
}

func (l *location) member(name string) { l.add(".", Truncate(name), "") }

func (l *location) item(index string) { l.add("[", Truncate(index), "]") }

func (l *location) add(before, name, after string) {
	switch {
	case l.Len() > MaxLocation: // it already ends with "…"
	case l.Len()+len(before)+len(name)+len(after) > MaxLocation:
		l.WriteString(strings.Repeat(".", max(0, MaxLocation-2-l.Len())) + "…")
	default:
		l.WriteString(before + name + after)
	}
}

// locationOf returns the location of a JSON pointer (RFC 6901) relative to the
// location at.
func locationOf(at string, pointer jsontext.Pointer) string {
	l := newLocation(at)
	for token := range pointer.Tokens() {
		if _, err := strconv.Atoi(token); err == nil {
			l.item(token)
		} else {
			l.member(token)
		}
	}
	return l.String()
}

// locate returns the location of a path in a value, and the value at that path.
// The value itself has the location at.
func locate(value any, at string, path []string) (where string, found any) {
	l := newLocation(at)
	for _, name := range path {
		if _, list := value.([]any); list {
			l.item(name)
		} else {
			l.member(name)
		}
		value = child(value, name)
	}
	return l.String(), value
}

// child returns a member or item of a value, or nil if it does not exist.
func child(value any, name string) any {
	switch value := value.(type) {
	case []any:
		if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(value) {
			return value[i]
		}
	case map[string]any:
		return value[name]
	}
	return nil
}

// children yields the members or items of a value with their names or indexes.
func children(value any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		switch value := value.(type) {
		case []any:
			for i, item := range value {
				if !yield(strconv.Itoa(i), item) {
					return
				}
			}
		case map[string]any:
			maps.All(value)(yield)
		}
	}
}

// A pathSet is a set of paths, stored as a trie. A lookup takes one step per
// segment of the path.
type pathSet struct {
	terminal bool
	next     map[string]*pathSet
}

func (s *pathSet) add(path []segment) {
	for _, segment := range path {
		name := segment.name
		if segment.index >= 0 {
			name = strconv.Itoa(segment.index)
		}
		if s.next[name] == nil {
			if s.next == nil {
				s.next = make(map[string]*pathSet)
			}
			s.next[name] = new(pathSet)
		}
		s = s.next[name]
	}
	s.terminal = true
}

func (s *pathSet) has(path []string) bool {
	for _, name := range path {
		if s = s.next[name]; s == nil {
			return false
		}
	}
	return s.terminal
}

// Truncate returns the first maxEcho bytes of a text, without splitting a
// character.
func Truncate(s string) string {
	if len(s) <= maxEcho {
		return s
	}
	n := maxEcho
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
