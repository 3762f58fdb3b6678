package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"riverqueue.com/riverui"
)

// Engine returns a handler that shows River's own tables below a path, for
// those who want to look into the engine room; what they change there, the
// queue sees within seconds. What it keeps in the background ends with ctx. It
// asks nobody who they are: that is the caller's business.
func (q *Queue) Engine(ctx context.Context, path string) (http.Handler, error) {
	h, err := riverui.NewHandler(&riverui.HandlerOpts{
		Endpoints: riverui.NewEndpoints(q.river, nil), JobListHideArgsByDefault: true, Logger: slog.New(quiet{q.Logger.Handler(), q.away}), Prefix: path,
	})
	if err != nil {
		return nil, fmt.Errorf("make River UI: %w", err)
	}
	if err := h.Start(ctx); err != nil {
		return nil, fmt.Errorf("start River UI: %w", err)
	}
	return h, nil
}
