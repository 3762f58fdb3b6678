package pages

import (
	"context"
	"strconv"

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

// receivers returns how the callbacks to each host are doing, and the number of hosts.
func (a *Pages) receivers(ctx context.Context, owner string) (rows []web.ReceiverRow, n int, err error) {
	found, n, err := a.Queue.CallbackReceivers(ctx, owner)
	for _, r := range found {
		row := web.ReceiverRow{
			Href: href("/deliveries", nil, "host", r.Origin), Owner: r.Owner, Origin: r.Origin,
			Delivered: r.Delivered, Failed: r.Failed, Pending: r.Pending, Rate: "–", Code: "–",
		}
		if ended := r.Delivered + r.Failed; ended > 0 {
			row.Rate = strconv.FormatInt(100*r.Delivered/ended, 10) + "%"
		}
		switch {
		case r.Code != nil:
			row.Code = strconv.Itoa(*r.Code)
		case r.Attempted:
			row.Code = "none"
		}
		if r.HeldUntil != nil {
			row.Hold = &web.Hold{Until: r.HeldUntil.Time, Reason: holdReason(r.Asked)}
		}
		rows = append(rows, row)
	}
	return rows, n, err
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
