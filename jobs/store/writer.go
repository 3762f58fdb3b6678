package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"regexp"
	"strings"
)

// A Column describes the values that a [Writer] writes to one column of a table.
type Column[T any] struct {
	name string
	kind string // PostgreSQL type: text, bigint or bytea
	of   func(T) any
}

// TextColumn returns a column of texts. of returns the value for a row; nil for NULL.
func TextColumn[T any](name string, of func(T) any) Column[T] { return Column[T]{name, "text", of} }

// BigintColumn returns a column of integers, times or durations.
func BigintColumn[T any](name string, of func(T) any) Column[T] { return Column[T]{name, "bigint", of} }

// ByteaColumn returns a column of bytes.
func ByteaColumn[T any](name string, of func(T) any) Column[T] { return Column[T]{name, "bytea", of} }

// A Writer writes any number of rows of T with one statement: on PostgreSQL each column is one
// array. On SQLite, which has no round trips to save, the statement runs once per row.
type Writer[T any] struct {
	columns          []Column[T]
	postgres, sqlite string
}

var valueName = regexp.MustCompile(`\bu\.(\w+)`)

// NewWriter returns a writer for a statement in which u.name is the value of a column, and {from}
// is the FROM clause that defines u.
func NewWriter[T any](statement string, columns ...Column[T]) *Writer[T] {
	names, arrays, marks := make([]string, len(columns)), make([]string, len(columns)), make(map[string]string)
	for i, c := range columns {
		mark := fmt.Sprintf("$%d", i+1)
		names[i], arrays[i], marks["u."+c.name] = c.name, mark+"::"+c.kind+"[]", mark
	}
	from := "FROM unnest(" + strings.Join(arrays, ", ") + ") AS u(" + strings.Join(names, ", ") + ")"
	return &Writer[T]{
		columns:  columns,
		postgres: strings.ReplaceAll(statement, "{from}", from),
		sqlite:   strings.ReplaceAll(valueName.ReplaceAllStringFunc(statement, func(name string) string { return marks[name] }), "{from}", ""),
	}
}

// NewInserter returns a writer that inserts rows into a table. conflict is the ON CONFLICT clause,
// and may contain a RETURNING clause; "" to fail on a conflict.
func NewInserter[T any](table, conflict string, columns ...Column[T]) *Writer[T] {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return NewWriter("INSERT INTO "+table+" ("+strings.Join(names, ", ")+") SELECT u."+strings.Join(names, ", u.")+" {from} WHERE true "+conflict, columns...)
}

// SQL returns the statement for PostgreSQL.
func (w *Writer[T]) SQL() string { return w.postgres }

// Write writes rows and returns how many were written.
func (w *Writer[T]) Write(ctx context.Context, tx Tx, rows []T) (written int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	if tx.postgres {
		args, err := w.arrays(rows)
		if err != nil {
			return 0, err
		}
		return Affected(tx.ExecContext(ctx, w.postgres, args...))
	}
	for _, row := range rows {
		n, err := Affected(tx.ExecContext(ctx, w.sqlite, w.values(row)...))
		if err != nil {
			return 0, err
		}
		written += n
	}
	return written, nil
}

// Returning writes rows with a statement that has a RETURNING clause with one text, and returns
// these texts.
func (w *Writer[T]) Returning(ctx context.Context, tx Tx, rows []T) (written []string, err error) {
	if len(rows) == 0 {
		return nil, nil
	}
	query := func(query string, args []any) error {
		found, err := tx.QueryContext(ctx, query, args...)
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			var s string
			if err := found.Scan(&s); err != nil {
				return err
			}
			written = append(written, s)
		}
		return found.Err()
	}
	if tx.postgres {
		args, err := w.arrays(rows)
		if err != nil {
			return nil, err
		}
		return written, query(w.postgres, args)
	}
	for _, row := range rows {
		if err := query(w.sqlite, w.values(row)); err != nil {
			return nil, err
		}
	}
	return written, nil
}

// values returns the values of a row, one per column.
func (w *Writer[T]) values(row T) []any {
	args := make([]any, len(w.columns))
	for i, c := range w.columns {
		args[i] = c.of(row)
	}
	return args
}

// arrays returns the values of rows, one array per column.
func (w *Writer[T]) arrays(rows []T) ([]any, error) {
	args := make([]any, len(w.columns))
	for i, c := range w.columns {
		var err error
		switch c.kind {
		case "text":
			args[i], err = array[string](rows, c.of)
		case "bigint":
			args[i], err = array[int64](rows, c.of)
		default:
			args[i], err = array[[]byte](rows, c.of)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return args, nil
}

// array returns one value per row; nil for NULL.
func array[V, T any](rows []T, of func(T) any) ([]*V, error) {
	values, a := make([]V, len(rows)), make([]*V, len(rows))
	for i, row := range rows {
		v, err := driver.DefaultParameterConverter.ConvertValue(of(row))
		if err != nil {
			return nil, err
		}
		if v == nil {
			continue
		}
		var ok bool
		if values[i], ok = v.(V); !ok {
			return nil, fmt.Errorf("got %T, want %T", v, values[i])
		}
		a[i] = &values[i]
	}
	return a, nil
}

// Affected returns how many rows a statement changed. It takes the results of ExecContext.
func Affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
