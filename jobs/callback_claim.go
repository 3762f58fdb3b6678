package jobs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// claimable chooses deliveries to a destination that are due, and new or not: those
// that were tried or sent again. While a job's progress is being sent, its other
// callbacks wait, so that they arrive in order.
const claimable = `SELECT p.id FROM deliveries p WHERE p.owner = %s AND p.origin = %s AND p.tried = %s AND p.status = 'pending' AND p.claimed_by IS NULL AND p.next_attempt_at <= %s
	AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.job_id = p.job_id AND o.id <> p.id AND o.event = 'job.progress' AND o.claimed_by IS NOT NULL)
	ORDER BY p.next_attempt_at LIMIT %s`

// claimSQLite claims up to $5 deliveries of the owner $2 to the origin $3 for the
// worker $1, at the time $4. First come those of which tried is $6.
var claimSQLite = claiming(`SELECT id FROM (SELECT id FROM (` + fmt.Sprintf(claimable, "$2", "$3", "$6", "$4", "$5") + `)
	UNION ALL SELECT id FROM (` + fmt.Sprintf(claimable, "$2", "$3", "1 - $6", "$4", "$5") + `)) LIMIT $5`)

// claimPostgres is the same for several owners, origins and limits. A row that another
// process is about to claim is skipped, so that this never waits for anybody, even
// while it has locked rows that others wait for.
var claimPostgres = claiming(`SELECT c.id FROM unnest($2::text[], $3::text[], $5::bigint[]) AS a(owner, origin, most)
	CROSS JOIN LATERAL (SELECT id FROM (` + fmt.Sprintf(claimable, "a.owner", "a.origin", "$6", "$4", "a.most") + ` FOR UPDATE SKIP LOCKED) f
		UNION ALL SELECT id FROM (` + fmt.Sprintf(claimable, "a.owner", "a.origin", "1 - $6", "$4", "a.most") + ` FOR UPDATE SKIP LOCKED) g LIMIT a.most) c`)

func claiming(ids string) string {
	return `UPDATE deliveries SET claimed_by = $1, claims = claims + 1 WHERE id IN (` + ids + `)
	RETURNING id, job_id, owner, event, url, origin, body, attempts, scheduled_from, claims`
}

// olderFirst is how many claims begin with new deliveries for each that begins with
// those that were tried: what is new does not wait for a backlog, and the backlog does
// not wait for ever.
const olderFirst = 3

// claimDeliveries claims deliveries that are due for this process. PostgreSQL may
// lose a claim when it crashes: the delivery is then attempted twice.
func (q *Queue) claimDeliveries(ctx context.Context, asks []ask) (claimed []*attempt, err error) {
	now, tried := At(time.Now()), 0
	if rand.N(olderFirst+1) == 0 { //nolint:gosec // chance spreads load here, it keeps no secret
		tried = 1
	}
	if q.db.postgres {
		owners, origins, most := make([]string, len(asks)), make([]string, len(asks)), make([]int64, len(asks))
		for i, a := range asks {
			owners[i], origins[i], most[i] = a.to.owner, a.to.origin, int64(a.most)
		}
		// Not given up when ctx is done: what was claimed by then must be known here.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		return scanAttempts(q.db.transport.QueryContext(ctx, claimPostgres, q.workerID, owners, origins, now, most, tried))
	}
	err = q.committer.commit(context.WithoutCancel(ctx), &change{names: []string{"callbacks"}, apply: func(ctx context.Context, b *batch) error {
		claimed = nil // it may be tried again
		for _, a := range asks {
			some, err := scanAttempts(b.tx.QueryContext(ctx, claimSQLite, q.workerID, a.to.owner, a.to.origin, now, a.most, tried))
			if err != nil {
				return err
			}
			claimed = append(claimed, some...)
		}
		return nil
	}})
	return claimed, err
}

func scanAttempts(rows *sql.Rows, err error) (attempts []*attempt, _ error) {
	if err != nil {
		return nil, fmt.Errorf("claim callbacks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		v := new(attempt)
		if err := rows.Scan(&v.id, &v.jobID, &v.owner, &v.event, &v.url, &v.origin, &v.body, &v.attempts, &v.scheduledFrom, &v.claim); err != nil {
			return nil, fmt.Errorf("claim callbacks: %w", err)
		}
		attempts = append(attempts, v)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("claim callbacks: %w", err)
	}
	return attempts, nil
}

// release gives a delivery back that was claimed and not attempted, to be attempted
// after a while.
func (q *Queue) release(ctx context.Context, v *attempt, after time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	at := At(time.Now().Add(after))
	return q.releaseClaim(ctx, v.id, v.claim, `, next_attempt_at = CASE WHEN next_attempt_at > $4 THEN next_attempt_at ELSE $4 END`, at)
}

func (q *Queue) releaseClaim(ctx context.Context, id string, claim int64, set string, args ...any) error {
	if _, err := q.db.write.ExecContext(ctx, `UPDATE deliveries SET claimed_by = NULL`+set+` WHERE id = $1 AND COALESCE(claimed_by, '') = $2 AND claims = $3`,
		append([]any{id, q.workerID, claim}, args...)...); err != nil {
		return fmt.Errorf("release callback: %w", err)
	}
	return nil
}

// releaseOfDead releases what processes claimed that do not live any more.
func (q *Queue) releaseOfDead(ctx context.Context) error {
	if _, err := q.db.write.ExecContext(ctx, `UPDATE deliveries SET claimed_by = NULL WHERE id IN (
		SELECT id FROM deliveries WHERE claimed_by IS NOT NULL AND claimed_by <> $1 AND claimed_by NOT IN (SELECT id FROM workers) ORDER BY id`+q.db.skipLocked()+`)`, q.workerID); err != nil {
		return fmt.Errorf("release callbacks of dead workers: %w", err)
	}
	return nil
}

// releaseIdle releases what this process claimed long ago and does not work on: the
// database was away when it wanted to read what it had claimed, or to release it.
func (q *Queue) releaseIdle(ctx context.Context) error {
	rows, err := q.db.read.QueryContext(ctx, fmt.Sprintf(`SELECT id, claims FROM deliveries WHERE claimed_by = $1 ORDER BY id LIMIT %d`, houseBatch+q.CallbackWorkers), q.workerID)
	if err != nil {
		return fmt.Errorf("check claims: %w", err)
	}
	defer rows.Close()
	var ids []string
	claims := make(map[string]int64)
	for rows.Next() {
		var id string
		var claim int64
		if err := rows.Scan(&id, &claim); err != nil {
			return fmt.Errorf("check claims: %w", err)
		}
		ids, claims[id] = append(ids, id), claim
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("check claims: %w", err)
	}
	for _, id := range q.idleDeliveries.overdue(ids, q.works) {
		if err := q.releaseClaim(ctx, id, claims[id], ""); err != nil {
			return err
		}
	}
	return nil
}
