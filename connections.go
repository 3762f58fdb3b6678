package main

import (
	"log/slog"

	"coatcheck/api/conn"
)

const (
	// maxConnections is the limit of connections if neither the system nor the
	// configuration sets one.
	maxConnections = 20_000
	// reservedFiles is the number of open files reserved for the database, the log
	// and processes of isolated runs.
	reservedFiles = 96
)

// connections returns the limiter of the server's connections. The limit leaves enough
// open files for the database and callbacks. It lowers settings that need more files
// than the system allows.
func (c *config) connections(logger *slog.Logger) *conn.Limiter {
	limit := c.MaxConnections
	if limit == 0 {
		limit = max(maxConnections, 2*c.Streams.Total)
	}
	if files, ok := openFiles(); ok {
		callbacks := int64(c.Callbacks.Concurrency)
		if share := max(files/8, 1); callbacks > share {
			logger.Warn("limit of open files is low, sending fewer callbacks at once", "open_files", files, "callbacks", share)
			callbacks, c.Callbacks.Concurrency = share, int(share)
			c.setSource("callbacks.concurrency", "limit of open files")
		}
		available := max(files-reservedFiles-callbacks, files/4, 1)
		if limit > available {
			if c.MaxConnections > available {
				logger.Warn("limit of open files is low, allowing fewer connections", "open_files", files, "connections", available)
			}
			limit = available
		}
	}
	// The remaining connections are for short requests.
	if most := max(limit*3/4, 1); c.Streams.Total > most {
		c.Streams.Total = most
		c.setSource("limits.max_streams", "limit of connections")
	}
	return conn.NewLimiter(int(limit), logger)
}
