package spec

import (
	"errors"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"
)

// maxDepth bounds the nesting of a value. An alias inside its own anchor has no end.
const maxDepth = 100

// A pair is a member of a mapping.
type pair struct{ name, value *yaml.Node }

// pairs returns the members of a mapping, with aliases followed and merge keys (<<)
// replaced by what they stand for: a member of the mapping itself wins.
func pairs(node *yaml.Node, depth int) (members []pair, err error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deep, or an alias inside its own anchor")
	}
	var merged []pair
	for two := range slices.Chunk(node.Content, 2) {
		name, value := two[0], target(two[1])
		if name.Tag != "!!merge" {
			members = append(members, pair{name, value})
			continue
		}
		sources := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
		for _, source := range sources {
			if source = target(source); source.Kind != yaml.MappingNode {
				return nil, errors.New("<<: expected an alias of a mapping")
			}
			more, err := pairs(source, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, more...)
		}
	}
	for _, m := range merged {
		if !slices.ContainsFunc(members, func(p pair) bool { return p.name.Value == m.name.Value }) {
			members = append(members, m)
		}
	}
	return members, nil
}

// value returns a node as a value for JSON. Dates are texts, as in JSON.
func value(node *yaml.Node, depth int) (any, error) {
	node = target(node)
	if depth > maxDepth {
		return nil, errors.New("nested too deep, or an alias inside its own anchor")
	}
	switch node.Kind {
	case yaml.MappingNode:
		members, err := pairs(node, depth)
		if err != nil {
			return nil, err
		}
		object := make(map[string]any, len(members))
		for _, m := range members {
			if _, twice := object[m.name.Value]; twice {
				return nil, fmt.Errorf("line %d: %s is set twice", m.name.Line, m.name.Value)
			}
			if object[m.name.Value], err = value(m.value, depth+1); err != nil {
				return nil, err
			}
		}
		return object, nil
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			var err error
			if list[i], err = value(item, depth+1); err != nil {
				return nil, err
			}
		}
		return list, nil
	default:
		if node.Tag == "!!timestamp" {
			return node.Value, nil
		}
		var v any
		if err := node.Decode(&v); err != nil {
			return nil, fmt.Errorf("line %d: %w", node.Line, err)
		}
		return v, nil
	}
}
