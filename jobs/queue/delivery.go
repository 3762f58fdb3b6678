package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
)

// The statuses of a delivery.
const (
	pending   = "pending"
	delivered = "delivered"
	failed    = "failed"
)

// inline is maxInline in SQL.
const inline = "65536"

// addCallback adds a delivery for a transition of a job, if its submitter asked for one, to the
// transaction of the transition. The body is rendered only here.
func (b *batch) addCallback(j *jobs.Job, e *jobs.Effects) error {
	if j.Done && j.WantsProgress() {
		b.finishedWithProgress = append(b.finishedWithProgress, j.ID)
	}
	if j.Requested.URL == "" || !slices.Contains(j.Requested.Events, e.Callback) {
		return nil
	}
	j.Callback = &jobs.Callback{URL: j.Requested.URL, Status: pending, NextAttemptAt: &b.now}
	j.Requested.Sequence++
	body, err := b.callbackBody(j, e.Callback)
	if err != nil {
		return err
	}
	return b.addDelivery(j, e.Callback, body, b.now)
}

// addDelivery adds a delivery that is due at a time.
func (b *batch) addDelivery(j *jobs.Job, event string, body []byte, at store.Time) error {
	id, err := keys.NewID("msg_")
	if err != nil {
		return err
	}
	b.send(&Delivery{
		ID: id, JobID: jobs.Optional(j.ID), Owner: j.Owner, Event: event, URL: j.Requested.URL, Body: body, CreatedAt: b.now,
		NextAttemptAt: &at,
	})
	return nil
}

// send adds a new delivery, which is due at its NextAttemptAt.
func (b *batch) send(d *Delivery) {
	b.deliveries = append(b.deliveries, d)
	b.announce(d.Owner, d.Event, d.URL, *d.NextAttemptAt)
}

// An announcement is a delivery that the dispatcher is to be notified of.
type announcement struct {
	to destination
	at store.Time
}

// announce notifies the dispatcher of this process of a delivery, after the commit.
func (b *batch) announce(owner, event, url string, at store.Time) {
	b.announcements = append(b.announcements, announcement{destination{owner, originFor(event, url)}, at})
}

var deliveryInserter = store.NewInserter("deliveries", "",
	store.TextColumn("id", func(d *Delivery) any { return d.ID }),
	store.TextColumn("job_id", func(d *Delivery) any { return string(d.JobID) }),
	store.TextColumn("owner", func(d *Delivery) any { return d.Owner }),
	store.TextColumn("event", func(d *Delivery) any { return d.Event }),
	store.TextColumn("url", func(d *Delivery) any { return d.URL }),
	store.TextColumn("origin", func(d *Delivery) any { return originFor(d.Event, d.URL) }),
	store.ByteaColumn("body", func(d *Delivery) any { return []byte(d.Body) }),
	store.TextColumn("status", func(*Delivery) any { return pending }),
	store.BigintColumn("next_attempt_at", func(d *Delivery) any { return d.NextAttemptAt }),
	store.BigintColumn("created_at", func(d *Delivery) any { return d.CreatedAt }),
)

// origin returns the scheme, host and port of a validated URL.
func origin(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	return u.Scheme + "://" + u.Host
}

// originFor returns the origin that a delivery goes to. That of a test differs from others, so that it is
// never held.
func originFor(event, url string) string {
	if event == CallbackTest {
		return testOrigin + origin(url)
	}
	return origin(url)
}

// testOrigin begins the origins of tests.
const testOrigin = "test "

// callbackBody renders the body of a callback. One key signs for all receivers, so the account, the
// job and the state allow a receiver to verify that the callback is meant for it.
func (b *batch) callbackBody(j *jobs.Job, event string) ([]byte, error) {
	type data struct {
		Job      jobs.Job `json:"job"`
		Account  string   `json:"account"`
		State    string   `json:"state,omitempty"`
		Sequence uint64   `json:"sequence"`
	}
	job := j.Closed(j.BaseURL).WithoutInput()
	job.OmitLargeOutput()
	body, err := store.Marshal(struct {
		Type      string     `json:"type"`
		Timestamp store.Time `json:"timestamp"`
		Data      data       `json:"data"`
	}{event, b.now, data{job, j.Owner, j.Requested.State, j.Requested.Sequence}})
	if err != nil {
		return nil, fmt.Errorf("render callback: %w", err)
	}
	return body, nil
}

// Redeliver sends a callback again, whatever its outcome was, with a new schedule of attempts. A
// pending callback is attempted at once. Error: [ErrNoDelivery].
func (q *Queue) Redeliver(ctx context.Context, id string) (Delivery, error) {
	if err := q.redeliver(ctx, id, time.Now()); err != nil {
		return Delivery{}, err
	}
	return q.Delivery(ctx, id)
}

// redeliver schedules the first attempt at a time.
func (q *Queue) redeliver(ctx context.Context, id string, at time.Time) error {
	var jobID string
	err := q.db.Keyed.QueryRowContext(ctx, `SELECT job_id FROM deliveries WHERE id = $1`, id).Scan(&jobID)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNoDelivery
	}
	if err != nil {
		return fmt.Errorf("read delivery: %w", err)
	}
	return q.committer.commit(ctx, &change{names: []string{jobID, id}, lock: jobID, lockOnly: true, apply: func(ctx context.Context, b *batch) error {
		tx := b.tx
		d, err := scanDelivery(tx.QueryRowContext(ctx,
			`SELECT `+deliveryColumns+` FROM deliveries WHERE id = $1`+q.db.ForUpdate(), id))
		if errors.Is(err, sql.ErrNoRows) {
			return refuse(ErrNoDelivery)
		}
		if err != nil {
			return fmt.Errorf("read delivery: %w", err)
		}
		next := store.At(at)
		if _, err := tx.ExecContext(ctx, `UPDATE deliveries SET status = 'pending', scheduled_from = attempts, next_attempt_at = $1, finished_at = NULL, claimed_by = NULL, tried = 1 WHERE id = $2`, next, id); err != nil {
			return fmt.Errorf("redeliver: %w", err)
		}
		b.announce(d.Owner, d.Event, d.URL, next)
		summary := jobs.Callback{
			URL: d.URL, Status: pending, Attempts: d.AttemptCount, LastStatusCode: d.LastStatusCode,
			NextAttemptAt: &next,
		}
		return updateSummary(ctx, tx, string(d.JobID), id, &summary)
	}})
}

// updateSummary copies the state of a job's newest callback, except progress, into the job.
func updateSummary(ctx context.Context, tx store.Tx, jobID, deliveryID string, c *jobs.Callback) error {
	if _, err := tx.ExecContext(ctx, `UPDATE jobs SET callback = $1 WHERE id = $2 AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.job_id = jobs.id AND d.id > $3 AND d.event <> 'job.progress')`,
		store.JSON(c), jobID, deliveryID); err != nil {
		return fmt.Errorf("update job: %w", err)
	}
	return nil
}

const (
	// MaxRedeliveries is the maximum number of deliveries that one [Queue.RedeliverAll] sends
	// again.
	MaxRedeliveries = 1000
	// redeliverEvery is the time between their first attempts.
	redeliverEvery = 20 * time.Millisecond
)

// RedeliverAll sends the newest callbacks that match the filter again, up to [MaxRedeliveries] at
// 50 per second, and returns how many.
func (q *Queue) RedeliverAll(ctx context.Context, f DeliveryFilter) (int, error) {
	f.Limit, f.WithoutAttempts = MaxRedeliveries, true
	chosen, err := q.Deliveries(ctx, f)
	if err != nil {
		return 0, err
	}
	now, n := time.Now(), 0
	for _, d := range chosen {
		err := q.redeliver(ctx, d.ID, now.Add(time.Duration(n)*redeliverEvery))
		if errors.Is(err, ErrNoDelivery) {
			continue // deleted meanwhile
		}
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
