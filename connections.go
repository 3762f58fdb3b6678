package main

import (
	"log/slog"

	"coatcheck/api"
)

const (
	// maxConnections is the bound of connections where the system and the
	// configuration set none.
	maxConnections = 20_000
	// ownFiles is how many open files the program keeps for itself: its
	// database, its log, processes that run a job alone.
	ownFiles = 96
)

// connections returns the bound of a server's connections. It is set so that
// there are files left for the database and for callbacks, whatever callers do;
// settings that need more are lowered.
func (c *config) connections(logger *slog.Logger) *api.Connections {
	most := c.MaxConnections
	if most == 0 {
		most = max(maxConnections, 2*c.Streams.Total)
	}
	if files, ok := openFiles(); ok {
		callbacks := int64(c.Callbacks.Concurrency)
		if share := max(files/8, 1); callbacks > share {
			logger.Warn("the limit of open files is low: fewer callbacks are sent at once", "open_files", files, "callbacks", share)
			callbacks, c.Callbacks.Concurrency = share, int(share)
		}
		room := max(files-ownFiles-callbacks, files/4, 1)
		if most > room {
			if c.MaxConnections > room {
				logger.Warn("the limit of open files is low: there is room for fewer connections", "open_files", files, "connections", room)
			}
			most = room
		}
	}
	// The rest is for calls that are answered at once.
	c.Streams.Total = min(c.Streams.Total, max(most*3/4, 1))
	return api.NewConnections(int(most), logger)
}
