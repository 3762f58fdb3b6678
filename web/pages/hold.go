package pages

import (
	"context"

	"coatcheck/jobs/queue"
	"coatcheck/web"
)

// holdReason says why callbacks to a host wait.
func holdReason(asked bool) string {
	if asked {
		return "the receiver asked to wait"
	}
	return "its attempts failed repeatedly"
}

// hold returns the hold of a pending callback; nil if there is none.
func hold(d *queue.Delivery) *web.Hold {
	if d.HeldUntil == nil {
		return nil
	}
	return &web.Hold{Until: d.HeldUntil.Time, Reason: holdReason(d.HeldAsked)}
}

// holds returns the hosts to which callbacks wait, of all users for an admin.
func (a *Pages) holds(ctx context.Context) ([]web.Hold, error) {
	found, err := a.Queue.Holds(ctx, a.OwnerFilter(ctx))
	if err != nil {
		return nil, err
	}
	rows := make([]web.Hold, len(found))
	for i, h := range found {
		rows[i] = web.Hold{Owner: h.Owner, Origin: h.Origin, Until: h.Until.Time, Reason: holdReason(h.Asked)}
	}
	return rows, nil
}
