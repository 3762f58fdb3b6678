package jobs

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

	"github.com/riverqueue/river"
)

// The statuses of a delivery.
const (
	pending   = "pending"
	delivered = "delivered"
	failed    = "failed"
)

// maxInline is the largest output in bytes that stands in a callback itself, and
// in a job that is read without need of its output.
const maxInline = 64 << 10

// inline is maxInline in SQL.
const inline = "65536"

// callBack makes a delivery of the event, if the submitter wanted to be told
// of it, in the transaction that makes the event happen. The body is rendered
// here, once.
func (t *transition) callBack(ctx context.Context, j *Job, event string) error {
	if j.callback.url == "" || !slices.Contains(j.callback.events, event) {
		return nil
	}
	if j.Done && slices.Contains(j.callback.events, JobProgress) {
		if err := t.dropProgress(ctx, j); err != nil {
			return err
		}
	}
	j.Callback = &Callback{URL: j.callback.url, Status: pending, NextAttemptAt: &t.now}
	j.callback.sequence++
	body, err := t.callbackBody(j, event)
	if err != nil {
		return err
	}
	return t.deliver(ctx, j, event, body, t.now)
}

// deliver makes a delivery, to be attempted at a time.
func (t *transition) deliver(ctx context.Context, j *Job, event string, body []byte, at Time) error {
	id, err := newID("msg_")
	if err != nil {
		return err
	}
	riverJobID, err := t.q.enqueueDelivery(ctx, t.tx, id, callbackQueue)
	if err != nil {
		return err
	}
	return insertDelivery(ctx, t.tx, &Delivery{ID: id, JobID: Optional(j.ID), Owner: j.Owner, Event: event, URL: j.callback.url, Body: body, CreatedAt: t.now, NextAttemptAt: &at}, riverJobID)
}

// origin returns the scheme, host and port of a URL that was checked.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + u.Host
}

// enqueueDelivery gives the delivery to River, as a new River job.
func (q *Queue) enqueueDelivery(ctx context.Context, tx *sql.Tx, id, lane string) (riverJobID int64, err error) {
	res, err := q.river.InsertTx(ctx, tx, deliveryArgs{DeliveryID: id}, &river.InsertOpts{Queue: lane, MaxAttempts: riverAttempts})
	if err != nil {
		return 0, fmt.Errorf("insert River job: %w", err)
	}
	q.db.ring(lane)
	return res.Job.ID, nil
}

// callbackBody renders what is sent. Account, job and state tell the receiver
// that the callback is meant for it, because one key signs for all.
func (t *transition) callbackBody(j *Job, event string) ([]byte, error) {
	type data struct {
		Job      Job    `json:"job"`
		Account  string `json:"account"`
		State    string `json:"state,omitempty"`
		Sequence uint64 `json:"sequence"`
	}
	job := j.Closed(j.BaseURL).WithoutInput()
	job.leaveOutLarge()
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Timestamp Time   `json:"timestamp"`
		Data      data   `json:"data"`
	}{event, t.now, data{job, j.Owner, j.callback.state, j.callback.sequence}})
	if err != nil {
		return nil, fmt.Errorf("render callback: %w", err)
	}
	return body, nil
}
