package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"coatcheck/jobs/store"
)

// claimable selects due deliveries to a destination, either new ones (tried = 0) or those that were
// attempted or redelivered before (tried = 1). While a progress callback of a job is in flight, the
// job's other callbacks wait, to keep their order.
const claimable = `SELECT p.id FROM deliveries p WHERE p.owner = %s AND p.origin = %s AND p.tried = %s AND p.status = 'pending' AND p.claimed_by IS NULL AND p.next_attempt_at <= %s
	AND NOT EXISTS (SELECT 1 FROM deliveries o WHERE o.job_id = p.job_id AND o.id <> p.id AND o.event = 'job.progress' AND o.claimed_by IS NOT NULL)
	ORDER BY p.next_attempt_at LIMIT %s`

// claimSQLite claims up to $5 due deliveries of owner $2 to origin $3 for worker $1, at time $4.
// Deliveries with tried = $6 come first.
var claimSQLite = claiming(`SELECT id FROM (SELECT id FROM (` + fmt.Sprintf(claimable, "$2", "$3", "$6", "$4", "$5") + `)
	UNION ALL SELECT id FROM (` + fmt.Sprintf(claimable, "$2", "$3", "1 - $6", "$4", "$5") + `)) LIMIT $5`)

// claimPostgres does the same for several owners, origins and limits. It skips rows that another
// process is about to claim, so that it never waits for a lock while it holds locks itself.
var claimPostgres = claiming(`SELECT c.id FROM unnest($2::text[], $3::text[], $5::bigint[]) AS a(owner, origin, most)
	CROSS JOIN LATERAL (SELECT id FROM (` + fmt.Sprintf(claimable, "a.owner", "a.origin", "$6", "$4", "a.most") + ` FOR UPDATE SKIP LOCKED) f
		UNION ALL SELECT id FROM (` + fmt.Sprintf(claimable, "a.owner", "a.origin", "1 - $6", "$4", "a.most") + ` FOR UPDATE SKIP LOCKED) g LIMIT a.most) c`)

func claiming(ids string) string {
	return `UPDATE deliveries SET claimed_by = $1, claims = claims + 1 WHERE id IN (` + ids + `)
	RETURNING id, job_id, owner, event, url, origin, body, attempts, scheduled_from, claims`
}

// newPerRetried is how many claims prefer new deliveries for each claim that prefers those that were
// attempted before: new deliveries do not wait for a backlog, and the backlog does not starve.
const newPerRetried = 3

// claimDeliveries claims due deliveries for this process. PostgreSQL may lose a claim in a crash
// (asynchronous commit); the delivery is then attempted twice.
func (q *Queue) claimDeliveries(ctx context.Context, requests []claimRequest) (claimed []*attempt, err error) {
	now, tried := store.At(time.Now()), 0
	if rand.N(newPerRetried+1) == 0 { //nolint:gosec // only spreads load, not security-sensitive
		tried = 1
	}
	if q.db.Postgres() {
		n := len(requests)
		owners, origins, most := make([]string, n), make([]string, n), make([]int64, n)
		for i, a := range requests {
			owners[i], origins[i], most[i] = a.to.owner, a.to.origin, int64(a.most)
		}
		// Not canceled with ctx: a committed claim must be returned to this process.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
		defer cancel()
		return scanAttempts(q.db.Transport.QueryContext(ctx, claimPostgres, q.workerID, owners, origins, now, most,
			tried))
	}
	err = q.committer.commit(context.WithoutCancel(ctx), &change{names: []string{"callbacks"}, apply: func(ctx context.Context, b *batch) error {
		claimed = nil // the change may be applied more than once
		for _, a := range requests {
			some, err := scanAttempts(b.tx.QueryContext(ctx, claimSQLite, q.workerID, a.to.owner, a.to.origin, now,
				a.most, tried))
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
		if err := rows.Scan(&v.id, &v.jobID, &v.owner, &v.event, &v.url, &v.origin, &v.body, &v.attempts,
			&v.scheduledFrom, &v.claim); err != nil {
			return nil, fmt.Errorf("claim callbacks: %w", err)
		}
		attempts = append(attempts, v)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, fmt.Errorf("claim callbacks: %w", err)
	}
	return attempts, nil
}

// release releases the claim on a delivery that was not attempted, so that it can be claimed again
// after a delay.
func (q *Queue) release(ctx context.Context, v *attempt, after time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	at := store.At(time.Now().Add(after))
	return q.releaseClaim(ctx, v.id, v.claim,
		`, next_attempt_at = CASE WHEN next_attempt_at > $4 THEN next_attempt_at ELSE $4 END`, at)
}

func (q *Queue) releaseClaim(ctx context.Context, id string, claim int64, set string, args ...any) error {
	if _, err := q.db.Write.ExecContext(ctx, `UPDATE deliveries SET claimed_by = NULL`+set+` WHERE id = $1 AND COALESCE(claimed_by, '') = $2 AND claims = $3`,
		append([]any{id, q.workerID, claim}, args...)...); err != nil {
		return fmt.Errorf("release callback: %w", err)
	}
	return nil
}

// releaseDeadClaims releases the claims of processes that are no longer alive.
func (q *Queue) releaseDeadClaims(ctx context.Context) error {
	if _, err := q.db.Write.ExecContext(ctx, `UPDATE deliveries SET claimed_by = NULL WHERE id IN (
		SELECT id FROM deliveries WHERE claimed_by IS NOT NULL AND claimed_by <> $1 AND claimed_by NOT IN (SELECT id FROM workers) ORDER BY id`+q.db.SkipLocked()+`)`, q.workerID); err != nil {
		return fmt.Errorf("release callbacks of dead workers: %w", err)
	}
	return nil
}

// releaseIdle releases deliveries that this process claimed long ago and is not attempting: the
// database was unavailable when the process wanted to read what it had claimed, or to release it.
func (q *Queue) releaseIdle(ctx context.Context) error {
	rows, err := q.db.Read.QueryContext(ctx, fmt.Sprintf(`SELECT id, claims FROM deliveries WHERE claimed_by = $1 ORDER BY id LIMIT %d`, housekeepingBatch+q.CallbackWorkers), q.workerID)
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
	for _, id := range q.idleDeliveries.overdue(ids, q.isWorkingOn) {
		if err := q.releaseClaim(ctx, id, claims[id], ""); err != nil {
			return err
		}
	}
	return nil
}

const (
	// maxPerDestination is the maximum number of concurrent attempts to one destination in this
	// process, not counting those that started before its last hold.
	maxPerDestination = 16
	// maxPerOrigin is the same for one origin across all owners.
	maxPerOrigin = 64
)

// A limiter issues permits for attempts at deliveries. A destination that already has permits gets
// another only while enough are free, and the same applies to an owner. So no destination can take
// all permits: one that has none gets one at once, however many receivers are slow.
type limiter struct {
	all int // total number of permits

	mu           sync.Mutex // guards the fields below
	used         int        // permits in use; the maps count the same permits by destination, epoch, origin and owner
	destinations map[destination]int
	epochs       map[epoch]int
	origins      map[string]int
	owners       map[string]int
}

// An epoch of a destination ends with each hold. Attempts of an earlier epoch may hang; they must
// not block the attempt that probes the destination.
type epoch struct {
	to    destination
	trips int
}

func newLimiter(all int) *limiter {
	return &limiter{
		all: all, destinations: make(map[destination]int), epochs: make(map[epoch]int), origins: make(map[string]int),
		owners: make(map[string]int),
	}
}

// available reports whether any permit is free.
func (l *limiter) available() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used < l.all
}

// acquire acquires permits for a destination, up to most in its epoch, and returns how many. If
// others are waiting, it takes at most a fair share of the free permits. An owner may have at most
// twice as many permits as are free, and a destination half of those that its owner may still get,
// so these limits shrink as more of them compete. The last quarter is reserved for destinations
// that have no permit.
func (l *limiter) acquire(e epoch, most, others int) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most = min(most, maxPerDestination, l.epochs[e]+max(1, (l.all-l.used)/(others+1)))
	for l.epochs[e] < most && l.origins[e.to.origin] < maxPerOrigin {
		free := l.all - l.used
		room := min(free, 2*free-l.owners[e.to.owner])
		if has := l.destinations[e.to]; room <= 0 || has > 0 && (room <= l.all/4 || has >= room/2) {
			break
		}
		l.add(e, 1)
		n++
	}
	return n
}

// release releases permits.
func (l *limiter) release(e epoch, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(e, -n)
}

// inUse returns how many permits a destination has.
func (l *limiter) inUse(to destination) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.destinations[to]
}

// add requires l.mu to be held.
func (l *limiter) add(e epoch, n int) {
	l.used += n
	addCount(l.destinations, e.to, n)
	addCount(l.epochs, e, n)
	addCount(l.origins, e.to.origin, n)
	addCount(l.owners, e.to.owner, n)
}

// addCount adds n to the count of a key, and deletes the key when its count becomes 0.
func addCount[K comparable](counts map[K]int, key K, n int) {
	if counts[key] += n; counts[key] == 0 {
		delete(counts, key)
	}
}
