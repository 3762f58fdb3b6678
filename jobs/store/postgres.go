package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
)

const (
	// connectTimeout is the longest time to establish a connection.
	connectTimeout = 3 * time.Second
	// connLifetime is the age at which a connection is replaced, so that connections reach the new
	// server after a failover.
	connLifetime = 10 * time.Minute
	// frozenAfter is the idle time in a transaction after which PostgreSQL ends the session: a
	// frozen process must not keep its locks.
	frozenAfter = 5 * time.Second
	// transportConns is the number of River's own connections.
	transportConns = 4
)

// settings are parameters of PostgreSQL sessions.
type settings map[string]string

var (
	anySession = settings{"idle_in_transaction_session_timeout": strconv.FormatInt(frozenAfter.Milliseconds(), 10)}
	// keyedSession is for statements that find rows by key. PostgreSQL caches a statement's plan. A
	// plan that was made while a table was small would scan the whole table, and would continue to
	// do so as the table grows, until PostgreSQL analyzes it. So the alternatives to index scans
	// are disabled. A plan that has to use one of them gets a very high cost. Because of such
	// costs, PostgreSQL would compile the statement (jit) and plan each execution again
	// (plan_cache_mode).
	keyedSession = anySession.with(settings{
		"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off",
		"plan_cache_mode": "force_generic_plan",
	})
	// relaxedSession is for River's own writes: which worker fetched a job, and that a job is done.
	// A crash of PostgreSQL may lose them, because our own row is the truth and River's row is
	// compared with it.
	relaxedSession = keyedSession.with(settings{"synchronous_commit": "off"})
)

func (s settings) with(more settings) settings {
	s = maps.Clone(s)
	maps.Copy(s, more)
	return s
}

// OpenPostgres connects to the database at url. Jobs use at most conns connections. River,
// heartbeats and notifications use a few more.
func OpenPostgres(ctx context.Context, url string, conns int) (*DB, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("database_url is not a PostgreSQL URL") // the cause quotes the URL with its password
	}
	c := config.ConnConfig
	c.DialFunc = (&net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3,
	}}).DialContext
	if c.ConnectTimeout <= 0 || c.ConnectTimeout > connectTimeout {
		c.ConnectTimeout = connectTimeout
	}
	config.MinConns, config.MaxConns = 0, 1
	listener, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("listen to PostgreSQL: %w", err)
	}
	renewal := new(renewal)
	open := func(conns int, s settings) *sql.DB {
		db := renewal.open(c, s)
		db.SetMaxOpenConns(conns)
		db.SetMaxIdleConns(conns)
		db.SetConnMaxLifetime(connLifetime)
		return db
	}
	keyed, transport := open(max(1, conns/2), keyedSession), open(transportConns, relaxedSession)
	d := &DB{
		Write: keyed, Keyed: keyed, Read: open(max(1, conns-conns/2), anySession), Heartbeats: open(1, anySession),
		Transport: transport, postgres: true, Driver: riverdatabasesql.NewWithPgxListener(transport, listener),
		listener: listener, renewal: renewal,
	}
	if err := keyed.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to PostgreSQL: %w", err), d.Close())
	}
	if err := refusePooling(ctx, d.Heartbeats, keyed); err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}
