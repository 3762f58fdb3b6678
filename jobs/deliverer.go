package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"coatcheck/notify"

	"github.com/riverqueue/river"
)

// deliveryArgs are the arguments of a River job that makes a delivery.
type deliveryArgs struct {
	DeliveryID string `json:"delivery_id"`
}

func (deliveryArgs) Kind() string { return "callback" }

// A deliverer makes deliveries. Their attempts are counted in our table;
// River only wakes us.
type deliverer struct {
	river.WorkerDefaults[deliveryArgs]
	queue *Queue
}

// NextRetry is when River calls Work again after an error: when the database
// was away.
func (d *deliverer) NextRetry(*river.Job[deliveryArgs]) time.Time {
	return time.Now().Add(2 * time.Second)
}

// An attempt is what is needed for one attempt at a delivery.
type attempt struct {
	id, jobID, owner, event, url, origin string
	body                                 []byte
	attempts                             int // before this one
	scheduledFrom                        int
	nextAt                               Time
	riverJobID                           int64 // the fence: another one has the delivery when it differs
}

// Work makes one attempt, if the delivery still waits and its receiver may be
// called now.
func (d *deliverer) Work(ctx context.Context, rj *river.Job[deliveryArgs]) error {
	q := d.queue
	v := attempt{id: rj.Args.DeliveryID, riverJobID: rj.ID}
	defer q.begin(v.id)()
	var behind bool // progress that is being sent
	err := q.db.read.QueryRowContext(ctx, `SELECT job_id, owner, event, url, origin, body, attempts, scheduled_from, next_attempt_at,
			EXISTS (SELECT 1 FROM deliveries p WHERE p.job_id = d.job_id AND p.id <> d.id AND p.event = 'job.progress' AND p.claimed_until > $3)
		FROM deliveries d WHERE id = $1 AND status = 'pending' AND river_job_id = $2`, v.id, rj.ID, At(time.Now())).
		Scan(&v.jobID, &v.owner, &v.event, &v.url, &v.origin, &v.body, &v.attempts, &v.scheduledFrom, &v.nextAt, &behind)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read delivery: %w", err)
	}
	if early := time.Until(v.nextAt.Time); early > 0 {
		return river.JobSnooze(early)
	}
	if behind {
		return river.JobSnooze(progressPoll)
	}
	pass, wait, err := q.enter(ctx, destination{v.owner, v.origin})
	if err != nil {
		return err
	}
	if pass == nil {
		return river.JobSnooze(wait)
	}
	defer q.leave(pass)
	keys, err := q.Keys.Signing(ctx, v.owner)
	if err != nil {
		return err
	}
	if v.event == JobProgress {
		claimed, err := q.claimProgress(ctx, &v)
		if err != nil || !claimed {
			return err
		}
	}
	at := At(time.Now())
	result := q.Sender.Send(ctx, notify.Request{ID: v.id, URL: v.url, Body: v.body, Keys: keys})
	if ctx.Err() != nil && result.Class != notify.Delivered {
		// The process stops; River makes the delivery available again.
		return errors.Join(ctx.Err(), q.unclaim(ctx, &v))
	}
	if err := q.persist(ctx, func(ctx context.Context) error { return q.record(ctx, &v, at, result) }); err != nil {
		return err
	}
	return q.persist(ctx, func(ctx context.Context) error { return q.learn(ctx, pass, result) })
}

// record writes down an attempt, and when to make the next one. When the
// delivery is in other hands by now, because this process was taken for dead or
// somebody sends it again, what they do counts and only the log has this one.
func (q *Queue) record(ctx context.Context, v *attempt, at Time, result notify.Result) error {
	attempts := v.attempts
	if result.Class != notify.Local {
		attempts++
	}
	now := At(time.Now())
	summary := Callback{URL: v.url, Status: failed, Attempts: attempts}
	if result.StatusCode != 0 {
		summary.LastStatusCode = &result.StatusCode
	}
	var finishedAt *Time
	delay, again := q.Schedule.Next(attempts-v.scheduledFrom, result)
	again = again && (v.event != CallbackTest && v.event != JobProgress || result.Class == notify.Local)
	switch {
	case result.Class == notify.Delivered:
		summary.Status, finishedAt = delivered, &now
	case again:
		next := At(now.Add(delay))
		summary.Status, summary.NextAttemptAt = pending, &next
	default:
		finishedAt = &now
	}
	written := false
	err := q.committer.commit(ctx, &change{names: []string{v.jobID, v.id}, lock: v.jobID, lockOnly: true, apply: func(ctx context.Context, b *batch) error {
		tx := b.tx
		written = false // it may be tried again
		if result.Class != notify.Local {
			if err := logAttempt(ctx, tx, v.id, at, result); err != nil {
				return err
			}
		}
		var riverJobID int64
		if summary.Status == pending {
			var err error
			if riverJobID, err = b.carryDelivery(ctx, v.id); err != nil {
				return err
			}
		}
		res, err := tx.ExecContext(ctx, `UPDATE deliveries SET status = $1, attempts = $2, last_status_code = $3, last_error = $4, next_attempt_at = $5, finished_at = $6, river_job_id = $7, claimed_until = NULL
			WHERE id = $8 AND river_job_id = $9 AND status = 'pending'`,
			summary.Status, attempts, summary.LastStatusCode, result.Message, summary.NextAttemptAt, finishedAt, riverJobID, v.id, v.riverJobID)
		if err != nil {
			return fmt.Errorf("update delivery: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		written = true
		if v.event != JobProgress {
			if err := summarize(ctx, tx, v.jobID, v.id, &summary); err != nil {
				return err
			}
		}
		if summary.Status == pending || v.jobID == "" {
			return nil
		}
		return dropOrphan(ctx, tx, v.id)
	}})
	if err == nil && written {
		q.metrics.attempted(v.event, summary.Status, result)
	}
	return err
}

// logAttempt adds an attempt to the delivery's log.
func logAttempt(ctx context.Context, tx *sql.Tx, id string, at Time, result notify.Result) error {
	var status *int
	if result.StatusCode != 0 {
		status = &result.StatusCode
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO delivery_attempts (delivery_id, number, at, status_code, code, message, response, timing, headers)
		SELECT id, (SELECT count(*) + 1 FROM delivery_attempts a WHERE a.delivery_id = d.id), $2, $3, $4, $5, $6, $7, $8 FROM deliveries d WHERE id = $1 ON CONFLICT DO NOTHING`,
		id, at, status, result.Code, result.Message, strings.ReplaceAll(result.Response, "\x00", "\uFFFD"), text[notify.Timing]{&result.Timing},
		text[Headers]{&Headers{result.RequestHeader, result.ResponseHeader}}); err != nil {
		return fmt.Errorf("log attempt: %w", err)
	}
	return nil
}

// dropOrphan removes a finished delivery whose job's record was removed while
// it waited.
func dropOrphan(ctx context.Context, tx *sql.Tx, id string) error {
	gone := ` IN (SELECT id FROM deliveries d WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM jobs WHERE jobs.id = d.job_id))`
	for _, stmt := range []string{`DELETE FROM delivery_attempts WHERE delivery_id` + gone, `DELETE FROM deliveries WHERE id` + gone} {
		if _, err := tx.ExecContext(ctx, stmt, id); err != nil {
			return fmt.Errorf("remove delivery: %w", err)
		}
	}
	return nil
}
