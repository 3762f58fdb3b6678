package pages

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"

	"coatcheck/web"
)

const (
	// maxNodes is how many values the tree of an output may have. Larger ones are shown as text only.
	maxNodes = 2000
	// maxOpenNodes is how many values a tree may have to be open at first.
	maxOpenNodes = 40
)

var errTooManyNodes = errors.New("too many nodes")

// A treeReader builds the tree of a JSON text.
type treeReader struct {
	*json.Decoder
	nodes int
}

// jsonTree returns the tree of an object or array; nil if the text is none, or too large for a tree.
func jsonTree(text []byte) *web.Node {
	if text = bytes.TrimSpace(text); len(text) < 3 || len(text) > maxShown || text[0] != '{' && text[0] != '[' {
		return nil
	}
	r := &treeReader{Decoder: json.NewDecoder(bytes.NewReader(text))}
	r.UseNumber() // keeps the digits
	root, err := r.value("")
	if err != nil || root.About == "" {
		return nil
	}
	if _, err := r.Token(); !errors.Is(err, io.EOF) {
		return nil
	}
	if r.nodes <= maxOpenNodes {
		openAll(root.Nodes)
	}
	return &root
}

func openAll(nodes []web.Node) {
	for i := range nodes {
		nodes[i].Open = true
		openAll(nodes[i].Nodes)
	}
}

// value reads the next value.
func (r *treeReader) value(name string) (web.Node, error) {
	if r.nodes++; r.nodes > maxNodes {
		return web.Node{}, errTooManyNodes
	}
	t, err := r.Token()
	if err != nil {
		return web.Node{}, err
	}
	switch v := t.(type) {
	case json.Delim:
		return r.container(name, v)
	case string:
		return web.Node{Name: name, Text: v, Class: "string c2"}, nil
	case json.Number:
		return web.Node{Name: name, Text: v.String(), Class: "c4"}, nil
	case bool:
		return web.Node{Name: name, Text: strconv.FormatBool(v), Class: "c5"}, nil
	default:
		return web.Node{Name: name, Text: "null", Class: "c8"}, nil
	}
}

// container reads the rest of an object or array.
func (r *treeReader) container(name string, opening json.Delim) (web.Node, error) {
	node := web.Node{Name: name, Flat: opening == '{'}
	for r.More() {
		child := strconv.Itoa(len(node.Nodes))
		if opening == '{' {
			t, err := r.Token()
			if err != nil {
				return node, err
			}
			child, _ = t.(string)
		}
		n, err := r.value(child)
		if err != nil {
			return node, err
		}
		node.Nodes = append(node.Nodes, n)
		node.Flat = node.Flat && n.About == ""
	}
	if _, err := r.Token(); err != nil {
		return node, err
	}
	one, many := " field", " fields"
	if opening == '[' {
		one, many = " item", " items"
		node.Table = tableOf(node.Nodes)
	}
	switch n := len(node.Nodes); n {
	case 0:
		node.Text, node.Class = map[json.Delim]string{'{': "{}", '[': "[]"}[opening], "c8"
	case 1:
		node.About = "1" + one
	default:
		node.About = strconv.Itoa(n) + many
	}
	return node, nil
}
