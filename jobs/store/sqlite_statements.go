package store

import (
	"context"
	"database/sql/driver"
	"errors"

	"modernc.org/sqlite"
)

const (
	// maxStatements is the maximum number of cached prepared statements per SQLite connection.
	maxStatements = 200
	// maxStatementText is the longest text of a cached statement, in bytes.
	maxStatementText = 16 << 10
)

// A cachingConnector opens SQLite connections that cache their prepared statements, because parsing
// most of our statements takes longer than running them.
type cachingConnector struct{ driver.Connector }

func newCachingConnector(dsn string) (driver.Connector, error) {
	c, err := sqlite.NewConnector(dsn)
	return cachingConnector{c}, err
}

// Connect implements [driver.Connector].
func (c cachingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	inner, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method"), conn.Close())
	}
	return &cachingConn{inner, make(map[string]sqliteStmt)}, nil
}

// A sqliteConn contains the methods of the driver's connection that database/sql uses.
type sqliteConn interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// A cachingConn caches idle statements by their text. database/sql uses a connection from one
// goroutine at a time, but may run a statement again while the rows of its previous run are open.
// The second run then gets a new statement.
type cachingConn struct {
	sqliteConn
	idle map[string]sqliteStmt
}

// take returns a statement for the query, which put returns to the cache.
func (c *cachingConn) take(ctx context.Context, query string) (sqliteStmt, error) {
	if s, ok := c.idle[query]; ok {
		delete(c.idle, query)
		return s, nil
	}
	s, err := c.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	stmt, ok := s.(sqliteStmt)
	if !ok {
		return nil, errors.Join(errors.New("the SQLite driver lacks a method"), s.Close())
	}
	return stmt, nil
}

// put caches a statement. If the cache is full, it evicts an arbitrary statement.
func (c *cachingConn) put(query string, s sqliteStmt) error {
	if _, twice := c.idle[query]; twice || len(query) > maxStatementText {
		return s.Close()
	}
	if len(c.idle) >= maxStatements {
		for other, old := range c.idle {
			delete(c.idle, other)
			if err := old.Close(); err != nil {
				return err
			}
			break
		}
	}
	c.idle[query] = s
	return nil
}

// ExecContext implements [driver.ExecerContext].
func (c *cachingConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	result, err := s.ExecContext(ctx, args)
	if err != nil {
		s.Close() // reports the same error again
		return nil, err
	}
	return result, c.put(query, s)
}

// QueryContext implements [driver.QueryerContext].
func (c *cachingConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		s.Close() // repeats the error
		return nil, err
	}
	return &cachedRows{rows, c, query, s}, nil
}

// Close implements [driver.Conn].
func (c *cachingConn) Close() error {
	var errs []error
	for _, s := range c.idle {
		errs = append(errs, s.Close())
	}
	clear(c.idle)
	return errors.Join(append(errs, c.sqliteConn.Close())...)
}

// cachedRows return their statement to the cache when they are closed.
type cachedRows struct {
	driver.Rows
	conn  *cachingConn
	query string
	stmt  sqliteStmt
}

// Close implements [driver.Rows].
func (r *cachedRows) Close() error {
	if r.stmt == nil {
		return nil
	}
	s := r.stmt
	r.stmt = nil
	if err := r.Rows.Close(); err != nil {
		return errors.Join(err, s.Close())
	}
	return r.conn.put(r.query, s)
}
