package queue

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"riverqueue.com/riverui"
)

// Engine returns a handler that serves River UI, which shows River's own tables, below a path. The
// queue picks up changes that are made there within seconds. Its background work ends with ctx. The
// handler does not authenticate requests: its caller must.
func (q *Queue) Engine(ctx context.Context, path string) (http.Handler, error) {
	h, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(q.river, nil), JobListHideArgsByDefault: true,
		Logger: slog.New(riverLog{q.Logger.Handler(), q.databaseFailing}), Prefix: path,
	})
	if err != nil {
		return nil, fmt.Errorf("create River UI: %w", err)
	}
	if err := h.Start(ctx); err != nil {
		return nil, fmt.Errorf("start River UI: %w", err)
	}
	return h, nil
}
