package pages

import (
	"encoding/csv"
	"errors"
	"io"
	"slices"
	"strings"

	"coatcheck/web"
)

const (
	// maxColumns is how many columns a table may have; what is wider is shown as a tree or text.
	maxColumns = 20
	// maxRows is how many rows of a file in CSV the page shows.
	maxRows = 200
)

// tableOf returns a table of the items of an array; nil unless these are several objects without
// further objects or arrays.
func tableOf(items []web.Node) *web.Table {
	if len(items) < 2 {
		return nil
	}
	t := &web.Table{}
	for _, item := range items {
		if !item.Flat || len(item.Nodes) == 0 {
			return nil
		}
		for _, field := range item.Nodes {
			if !slices.Contains(t.Columns, field.Name) {
				t.Columns = append(t.Columns, field.Name)
			}
		}
		if len(t.Columns) > maxColumns {
			return nil
		}
	}
	for _, item := range items {
		row := make([]web.Node, len(t.Columns))
		for _, field := range item.Nodes {
			row[slices.Index(t.Columns, field.Name)] = field
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// csvTable returns the beginning of a file in CSV (RFC 4180), whose first record names the columns; nil
// if it is no table. The text is the whole file, or only its beginning.
func csvTable(text string, whole bool) *web.Table {
	r := csv.NewReader(strings.NewReader(text))
	header, err := r.Read()
	if err != nil || len(header) < 2 || len(header) > maxColumns {
		return nil
	}
	t := &web.Table{Columns: header}
	for len(t.Rows) < maxRows {
		record, err := r.Read()
		switch {
		case errors.Is(err, io.EOF):
			return t
		case err != nil && whole:
			return nil // another format
		case err != nil:
			t.Rows = t.Rows[:max(0, len(t.Rows)-1)] // the text may end within the last record
			t.More = "The rest is in the download."
			return t
		}
		row := make([]web.Node, len(record))
		for i, cell := range record {
			row[i].Text = cell
		}
		t.Rows = append(t.Rows, row)
	}
	if _, err := r.Read(); !errors.Is(err, io.EOF) {
		t.More = "The rest is in the download."
	}
	return t
}
