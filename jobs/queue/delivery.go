package queue

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"

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
	b.announce(d.Owner, d.URL, *d.NextAttemptAt)
}

// An announcement is a delivery that the dispatcher is to be notified of.
type announcement struct {
	to destination
	at store.Time
}

// announce notifies the dispatcher of this process of a delivery, after the commit.
func (b *batch) announce(owner, url string, at store.Time) {
	b.announcements = append(b.announcements, announcement{destination{owner, origin(url)}, at})
}

var deliveryInserter = store.NewInserter("deliveries", "",
	store.TextColumn("id", func(d *Delivery) any { return d.ID }),
	store.TextColumn("job_id", func(d *Delivery) any { return string(d.JobID) }),
	store.TextColumn("owner", func(d *Delivery) any { return d.Owner }),
	store.TextColumn("event", func(d *Delivery) any { return d.Event }),
	store.TextColumn("url", func(d *Delivery) any { return d.URL }),
	store.TextColumn("origin", func(d *Delivery) any { return origin(d.URL) }),
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
	body, err := json.Marshal(struct {
		Type      string     `json:"type"`
		Timestamp store.Time `json:"timestamp"`
		Data      data       `json:"data"`
	}{event, b.now, data{job, j.Owner, j.Requested.State, j.Requested.Sequence}})
	if err != nil {
		return nil, fmt.Errorf("render callback: %w", err)
	}
	return body, nil
}
