package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"

	"golang.org/x/term"

	"coatcheck/api/client"
)

// defaultWidth is the width of a terminal that does not tell its own.
const defaultWidth = 80

// A table is a list for people and for programs. On a terminal it has a heading, its columns are aligned, columns that
// are empty are left out, and the last column is cut to the width of the terminal. Elsewhere each row is a line, with
// tabs between its cells.
type table struct {
	heading []string
	rows    [][]string
}

// add adds a row. A cell is one line of printable text.
func (t *table) add(cells ...string) {
	for i := range cells {
		cells[i] = strings.Join(strings.Fields(client.Printable(cells[i])), " ")
	}
	t.rows = append(t.rows, cells)
}

// print prints the table.
func (t *table) print(w io.Writer) error {
	if len(t.rows) == 0 {
		return nil
	}
	var b strings.Builder
	if isTerminal(w) {
		t.align(&b, terminalWidth(w))
	} else {
		for _, row := range t.rows {
			b.WriteString(strings.Join(row, "\t") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// align writes the table for a terminal of the given width.
func (t *table) align(w io.Writer, width int) {
	var columns []int
	for i := range t.heading {
		if slices.ContainsFunc(t.rows, func(row []string) bool { return row[i] != "" && row[i] != "-" }) {
			columns = append(columns, i)
		}
	}
	var before int // the width of all columns but the last
	widths := make([]int, len(t.heading))
	lines := append([][]string{t.heading}, t.rows...)
	for n, i := range columns {
		for _, line := range lines {
			widths[i] = max(widths[i], utf8.RuneCountInString(line[i]))
		}
		if n < len(columns)-1 {
			before += widths[i] + 2
		}
	}
	for _, line := range lines {
		var b strings.Builder
		for n, i := range columns {
			if n == len(columns)-1 {
				b.WriteString(cut(line[i], max(width-before, 12)))
				break
			}
			b.WriteString(line[i] + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(line[i])+2))
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// cut shortens a text to a number of characters.
func cut(text string, length int) string {
	if runes := []rune(text); len(runes) > length {
		return string(runes[:length-1]) + "…"
	}
	return text
}

// terminalWidth returns the width of the terminal that w is.
func terminalWidth(w any) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return defaultWidth
}

// details prints names with values, aligned; those without a value are left out.
func details(w io.Writer, pairs ...[2]string) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, pair := range pairs {
		if value := strings.TrimRight(client.Printable(pair[1]), "\n"); value != "" {
			// The further lines of a value stand below its first.
			fmt.Fprintf(tw, "%s\t%s\n", pair[0], strings.ReplaceAll(strings.ReplaceAll(value, "\t", " "), "\n", "\n\t"))
		}
	}
	return tw.Flush()
}
