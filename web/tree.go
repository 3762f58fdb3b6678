package web

// A Node is a JSON value in a tree. An object or array with content has Nodes or a Table; others have a
// Text.
type Node struct {
	Name  string // of the field, or the index of the item
	Class string // of the text: its color shows the kind of the value
	Text  string
	About string // how much the object or array contains
	Open  bool
	Flat  bool // whether it is an object without further objects or arrays
	Nodes []Node
	Table *Table
}

// A Table is a list of records. Each row has a cell for each column.
type Table struct {
	Columns []string
	Rows    [][]Node
	More    string // what is left out; "" if it is complete
}
