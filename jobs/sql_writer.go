package jobs

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"regexp"
	"strings"
)

// A column describes the values that a [writer] writes to one column of a table.
type column[T any] struct {
	name string
	kind string // PostgreSQL type: text, bigint or bytea
	of   func(T) any
}

// textColumn returns a column of texts. of returns the value for a row; nil for NULL.
func textColumn[T any](name string, of func(T) any) column[T] { return column[T]{name, "text", of} }

// bigintColumn returns a column of integers, times or durations.
func bigintColumn[T any](name string, of func(T) any) column[T] { return column[T]{name, "bigint", of} }

// byteaColumn returns a column of bytes.
func byteaColumn[T any](name string, of func(T) any) column[T] { return column[T]{name, "bytea", of} }

// A writer writes any number of rows of T with one statement: on PostgreSQL each column is one
// array. On SQLite, which has no round trips to save, the statement runs once per row.
type writer[T any] struct {
	columns          []column[T]
	postgres, sqlite string
}

var valueName = regexp.MustCompile(`\bu\.(\w+)`)

// newWriter returns a writer for a statement in which u.name is the value of a column, and {from}
// is the FROM clause that defines u.
func newWriter[T any](statement string, columns ...column[T]) *writer[T] {
	names, arrays, marks := make([]string, len(columns)), make([]string, len(columns)), make(map[string]string)
	for i, c := range columns {
		mark := fmt.Sprintf("$%d", i+1)
		names[i], arrays[i], marks["u."+c.name] = c.name, mark+"::"+c.kind+"[]", mark
	}
	from := "FROM unnest(" + strings.Join(arrays, ", ") + ") AS u(" + strings.Join(names, ", ") + ")"
	return &writer[T]{
		columns:  columns,
		postgres: strings.ReplaceAll(statement, "{from}", from),
		sqlite:   strings.ReplaceAll(valueName.ReplaceAllStringFunc(statement, func(name string) string { return marks[name] }), "{from}", ""),
	}
}

// newInserter returns a writer that inserts rows into a table. conflict is the ON CONFLICT clause,
// and may contain a RETURNING clause; "" to fail on a conflict.
func newInserter[T any](table, conflict string, columns ...column[T]) *writer[T] {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return newWriter("INSERT INTO "+table+" ("+strings.Join(names, ", ")+") SELECT u."+strings.Join(names, ", u.")+" {from} WHERE true "+conflict, columns...)
}

// sql returns the statement for PostgreSQL.
func (w *writer[T]) sql() string { return w.postgres }

// write writes rows and returns how many were written.
func (w *writer[T]) write(ctx context.Context, tx Tx, rows []T) (written int64, err error) {
	if len(rows) == 0 {
		return 0, nil
	}
	if tx.postgres {
		args, err := w.arrays(rows)
		if err != nil {
			return 0, err
		}
		return affected(tx.ExecContext(ctx, w.postgres, args...))
	}
	for _, row := range rows {
		n, err := affected(tx.ExecContext(ctx, w.sqlite, w.values(row)...))
		if err != nil {
			return 0, err
		}
		written += n
	}
	return written, nil
}

// returning writes rows with a statement that has a RETURNING clause with one text, and returns
// these texts.
func (w *writer[T]) returning(ctx context.Context, tx Tx, rows []T) (written []string, err error) {
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
func (w *writer[T]) values(row T) []any {
	args := make([]any, len(w.columns))
	for i, c := range w.columns {
		args[i] = c.of(row)
	}
	return args
}

// arrays returns the values of rows, one array per column.
func (w *writer[T]) arrays(rows []T) ([]any, error) {
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

func affected(res sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
