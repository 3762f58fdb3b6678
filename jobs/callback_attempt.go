package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"coatcheck/notify"
)

// retryClaimed is how long a delivery waits for another try when it could not be
// attempted for a reason of our own.
const retryClaimed = 2 * time.Second

// An attempt is what is needed for one attempt at a delivery that this process has
// claimed.
type attempt struct {
	id, jobID, owner, event, url, origin string
	body                                 []byte
	attempts                             int // before this one
	scheduledFrom                        int
	claim                                int64 // the fence: somebody else has claimed the delivery when it differs
	state                                destinationState
}

// attempt makes an attempt at a delivery, and stores what came of it. When ctx is
// done before, others may make it.
func (q *Queue) attempt(ctx context.Context, v *attempt) {
	defer q.begin(v.id)()
	sent, err := q.deliver(ctx, v)
	if !sent {
		wait := time.Duration(0)
		if err != nil {
			wait = retryClaimed
		}
		err = errors.Join(err, q.release(ctx, v, wait))
	}
	if err != nil && ctx.Err() == nil && !q.noteDatabase(ctx, err) {
		q.Logger.ErrorContext(ctx, "callback not attempted, or its outcome not stored; will try again", "delivery", v.id, "err", err)
	}
}

// deliver sends a delivery and stores what came of it. If it returns false, there
// was no attempt.
func (q *Queue) deliver(ctx context.Context, v *attempt) (sent bool, err error) {
	to := destination{v.owner, v.origin}
	keys, err := q.Keys.Signing(ctx, v.owner)
	if err != nil {
		return false, err
	}
	probe := v.state.allowed == 0
	if probe {
		if claimed, err := q.claimProbe(ctx, to, v.state); err != nil || !claimed {
			return false, err
		}
	}
	at := At(time.Now())
	result := q.Sender.Send(ctx, notify.Request{ID: v.id, URL: v.url, Body: v.body, Keys: keys})
	if ctx.Err() != nil && result.Class != notify.Delivered {
		return false, nil // the process stops
	}
	if err := q.persist(ctx, func(ctx context.Context) error { return q.record(ctx, v, at, result) }); err != nil {
		return true, err
	}
	return true, q.persist(ctx, func(ctx context.Context) error { return q.learn(ctx, to, v.state.known, probe, result) })
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
		res, err := tx.ExecContext(ctx, `UPDATE deliveries SET status = $1, attempts = $2, last_status_code = $3, last_error = $4, next_attempt_at = $5, finished_at = $6, claimed_by = NULL
			WHERE id = $7 AND claimed_by = $8 AND claims = $9 AND status = 'pending'`,
			summary.Status, attempts, summary.LastStatusCode, result.Message, summary.NextAttemptAt, finishedAt, v.id, q.workerID, v.claim)
		if err != nil {
			return fmt.Errorf("update delivery: %w", err)
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		written = true
		if again {
			b.announce(v.owner, v.url, *summary.NextAttemptAt)
		}
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
