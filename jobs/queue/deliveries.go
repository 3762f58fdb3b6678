package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// ErrNoDelivery means that the delivery does not exist.
var ErrNoDelivery = errors.New("no such delivery")

// CallbackTest is the event of a callback that is sent to test a receiver.
const CallbackTest = "callback.test"

// A Delivery is one callback: an event of a job that is sent to a URL.
type Delivery struct {
	ID            string            `json:"id" doc:"The webhook-id: the same for every attempt."`
	JobID         jobs.Optional     `json:"job_id" nullable:"true" doc:"null for a test."`
	Event         string            `json:"event"`
	URL           string            `json:"url" format:"uri"`
	Status        string            `json:"status" enum:"pending,delivered,failed"`
	CreatedAt     store.Time        `json:"created_at" format:"date-time"`
	NextAttemptAt *store.Time       `json:"next_attempt_at" format:"date-time"`
	HeldUntil     *store.Time       `json:"held_until" format:"date-time" doc:"Until when callbacks to the URL's host are held; null when they are not."`
	FinishedAt    *store.Time       `json:"finished_at" format:"date-time"`
	Attempts      []DeliveryAttempt `json:"attempts" nullable:"false" doc:"The oldest first."`
	Body          json.RawMessage   `json:"body,omitempty" doc:"What is sent, byte for byte."`

	// Owner is the user who submitted the job.
	Owner string `json:"-"`
	// AttemptCount is the number of attempts so far. LastStatusCode and LastError are the result of
	// the newest.
	AttemptCount   int    `json:"-"`
	LastStatusCode *int   `json:"-"`
	LastError      string `json:"-"`
	// HeldAsked means that the receiver asked to wait. Otherwise its failures are the reason of a hold.
	HeldAsked bool `json:"-"`
}

// A DeliveryAttempt is one request to the receiver.
type DeliveryAttempt struct {
	Number     int           `json:"number"`
	At         store.Time    `json:"at" format:"date-time"`
	StatusCode *int          `json:"status_code" doc:"null without an answer."`
	Code       string        `json:"code" doc:"What came of it, such as ok, http_500, timeout or blocked_address."`
	Error      jobs.Optional `json:"error" nullable:"true" doc:"What went wrong, for people; null after a success."`
	DurationMS float64       `json:"duration_ms"`
	Response   string        `json:"response" doc:"The beginning of the answer's body, up to 4 KiB."`
	Timing     notify.Timing `json:"timing"`
	Headers    Headers       `json:"headers"`
}

// Headers are the headers of a callback request and of its response.
type Headers struct {
	Request  http.Header `json:"request" nullable:"false"`
	Response http.Header `json:"response"`
}

const deliveryColumns = `id, job_id, owner, event, url, status, attempts, last_status_code, last_error, next_attempt_at, created_at, finished_at, ` + heldColumns

// heldColumns are the hold of a pending delivery's destination: until when it lasts, and whether attempts are
// allowed at all.
const heldColumns = `(SELECT s.held_until FROM destinations s WHERE deliveries.status = 'pending' AND s.owner = deliveries.owner AND s.origin = deliveries.origin),
	(SELECT s.allowed FROM destinations s WHERE deliveries.status = 'pending' AND s.owner = deliveries.owner AND s.origin = deliveries.origin)`

func scanDelivery(row interface{ Scan(dest ...any) error }, more ...any) (d Delivery, err error) {
	var allowed *int
	err = row.Scan(append([]any{
		&d.ID, &d.JobID, &d.Owner, &d.Event, &d.URL, &d.Status, &d.AttemptCount, &d.LastStatusCode, &d.LastError,
		&d.NextAttemptAt, &d.CreatedAt, &d.FinishedAt, &d.HeldUntil, &allowed,
	}, more...)...)
	if d.HeldUntil != nil && !d.HeldUntil.After(time.Now()) {
		d.HeldUntil = nil
	}
	d.HeldAsked = d.HeldUntil != nil && *allowed > 0
	return d, err
}

// Deliveries returns the newest deliveries that match the filter, newest first.
func (q *Queue) Deliveries(ctx context.Context, f DeliveryFilter) ([]Delivery, error) {
	f, err := q.boundedDeliveries(ctx, f)
	if err != nil {
		return nil, err
	}
	query, args := f.query()
	rows, err := q.db.Read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	defer rows.Close()
	deliveries := []Delivery{}
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, fmt.Errorf("list deliveries: %w", err)
		}
		deliveries = append(deliveries, d)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("list deliveries: %w", err)
	}
	if f.WithoutAttempts {
		return deliveries, nil
	}
	return deliveries, q.addAttempts(ctx, deliveries)
}

// addAttempts adds their attempts to the deliveries.
func (q *Queue) addAttempts(ctx context.Context, deliveries []Delivery) error {
	if len(deliveries) == 0 {
		return nil
	}
	ids, byID := make([]string, len(deliveries)), make(map[string]*Delivery)
	for i := range deliveries {
		ids[i], byID[deliveries[i].ID] = deliveries[i].ID, &deliveries[i]
		deliveries[i].Attempts = []DeliveryAttempt{}
	}
	marks, args := placeholders(ids)
	rows, err := q.db.Read.QueryContext(ctx, `SELECT delivery_id, number, at, status_code, code, message, response, timing, headers FROM delivery_attempts WHERE delivery_id IN (`+marks+`) ORDER BY delivery_id, number`, args...)
	if err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var a DeliveryAttempt
		if err := rows.Scan(&id, &a.Number, &a.At, &a.StatusCode, &a.Code, &a.Error, &a.Response,
			store.JSON(&a.Timing), store.JSON(&a.Headers)); err != nil {
			return fmt.Errorf("read attempts: %w", err)
		}
		a.DurationMS = a.Timing.Total
		byID[id].Attempts = append(byID[id].Attempts, a)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read attempts: %w", err)
	}
	return nil
}

// Delivery returns a delivery with its body and attempts. Error: [ErrNoDelivery].
func (q *Queue) Delivery(ctx context.Context, id string) (Delivery, error) {
	var body []byte
	d, err := scanDelivery(q.db.Read.QueryRowContext(ctx, `SELECT `+deliveryColumns+`, body FROM deliveries WHERE id = $1`, id), &body)
	if errors.Is(err, sql.ErrNoRows) {
		return Delivery{}, ErrNoDelivery
	}
	if err != nil {
		return Delivery{}, fmt.Errorf("read delivery: %w", err)
	}
	d.Body = body
	one := []Delivery{d}
	err = q.addAttempts(ctx, one)
	return one[0], err
}

// SendTest sends a callback.test to a validated URL, in a single attempt. It does not wait for the end of a
// hold, and its outcome neither begins nor ends one.
func (q *Queue) SendTest(ctx context.Context, owner, url string) (Delivery, error) {
	id, err := keys.NewID("msg_")
	if err != nil {
		return Delivery{}, err
	}
	now := store.At(time.Now())
	body, err := store.Marshal(map[string]any{
		"type": CallbackTest, "timestamp": now, "data": map[string]string{"account": owner},
	})
	if err != nil {
		return Delivery{}, fmt.Errorf("render callback: %w", err)
	}
	err = q.committer.commit(ctx, &change{names: []string{id}, apply: func(_ context.Context, b *batch) error {
		b.send(&Delivery{
			ID: id, Owner: owner, Event: CallbackTest, URL: url, Body: body, CreatedAt: now, NextAttemptAt: &now,
		})
		return nil
	}})
	if err != nil {
		return Delivery{}, err
	}
	return q.Delivery(ctx, id)
}
