package jobs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"coatcheck/notify"
)

// ErrNoReceiver means that the user has no test receiver.
var ErrNoReceiver = errors.New("no such receiver")

// How a test receiver can answer.
const (
	AnswerOK       = "ok"
	AnswerError    = "error"    // 500: tried again
	AnswerGone     = "gone"     // 410: given up
	AnswerRedirect = "redirect" // 302: not followed
	AnswerSlow     = "slow"     // 200, after a while
	AnswerNever    = "never"    // not until the sender has enough
)

// What a test receiver can do to a callback on its way, to show what it does
// about it.
const (
	DamageNone = "none"
	DamageBody = "body" // another body under the same signature
	DamageTime = "time" // the same callback, played back ten minutes later
)

// The ways that a receiver can be set to.
var (
	Answers = []string{AnswerOK, AnswerError, AnswerGone, AnswerRedirect, AnswerSlow, AnswerNever}
	Damages = []string{DamageNone, DamageBody, DamageTime}
)

const (
	// maxReceived is how many callbacks of a receiver are kept, receiverAge how
	// long it lives unused.
	maxReceived = 50
	receiverAge = 24 * time.Hour
	// slowAnswer is how long a slow receiver takes.
	slowAnswer = 5 * time.Second
	// neverAnswer is longer than any sender waits.
	neverAnswer = 2 * time.Minute
	// maxReceivedBody is more than a callback has.
	maxReceivedBody = 1 << 20
)

// Receivers are the page's test receivers. Callbacks to their URLs are handed
// over inside the process that sends them; there is no way to them from
// outside, and nothing is dialed.
type Receivers struct {
	db   *Database
	keys *Keys
}

// NewReceivers returns the receivers in the database.
func NewReceivers(db *Database, keys *Keys) *Receivers { return &Receivers{db, keys} }

// A Receiver is a user's test receiver.
type Receiver struct {
	URL            string
	Answer, Damage string
	Received       []Received // the newest first

	id, owner string
}

// A Received is a callback that a test receiver got.
type Received struct {
	ID         string
	At         Time
	Header     http.Header
	Body       []byte
	Verdict    string // why the signature is wrong; empty when it is right
	StatusCode int    // what was answered; 0 for nothing
}

// Mine returns the user's receiver with what it got. Error: [ErrNoReceiver].
func (r *Receivers) Mine(ctx context.Context, owner string) (Receiver, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	found, err := r.read(ctx, `owner = $1`, owner)
	if err != nil {
		return found, err
	}
	rows, err := r.db.read.QueryContext(ctx, `SELECT id, at, headers, body, verdict, status_code FROM received WHERE receiver_id = $1 ORDER BY id DESC`, found.id)
	if err != nil {
		return found, fmt.Errorf("read received callbacks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Received
		if err := rows.Scan(&c.ID, &c.At, text[http.Header]{&c.Header}, &c.Body, &c.Verdict, &c.StatusCode); err != nil {
			return found, fmt.Errorf("read received callbacks: %w", err)
		}
		found.Received = append(found.Received, c)
	}
	return found, rows.Err()
}

func (r *Receivers) read(ctx context.Context, condition, arg string) (found Receiver, err error) {
	err = r.db.read.QueryRowContext(ctx, `SELECT id, owner, answer, damage FROM receivers WHERE `+condition, arg).Scan(&found.id, &found.owner, &found.Answer, &found.Damage)
	if errors.Is(err, sql.ErrNoRows) {
		return found, ErrNoReceiver
	}
	if err != nil {
		return found, fmt.Errorf("read receiver: %w", err)
	}
	found.URL = notify.LocalURL(found.id)
	return found, nil
}

// Create gives the user a new receiver, in the place of the one there was.
func (r *Receivers) Create(ctx context.Context, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id, err := newID("")
	if err != nil {
		return err
	}
	tx, err := r.db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("create receiver: %w", err)
	}
	defer tx.Rollback()
	if err := dropReceivers(ctx, tx, `owner = $1`, owner); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO receivers (id, owner, answer, damage, used_at) VALUES ($1, $2, 'ok', 'none', $3)
		ON CONFLICT (owner) DO UPDATE SET id = excluded.id`, id, owner, At(time.Now())); err != nil {
		return fmt.Errorf("create receiver: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("create receiver: %w", err)
	}
	return nil
}

// Set says how the user's receiver answers, one of [Answers], and what is done
// to callbacks on their way to it, one of [Damages]. Error: [ErrNoReceiver].
func (r *Receivers) Set(ctx context.Context, owner, answer, damage string) error {
	if !slices.Contains(Answers, answer) || !slices.Contains(Damages, damage) {
		return &FieldError{"answer", "expected one of " + strings.Join(Answers, ", ")}
	}
	res, err := r.db.write.ExecContext(ctx, `UPDATE receivers SET answer = $1, damage = $2, used_at = $3 WHERE owner = $4`, answer, damage, At(time.Now()), owner)
	if err != nil {
		return fmt.Errorf("set receiver: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, ErrNoReceiver)
	}
	return nil
}

// erase removes what the receiver that the job calls back has got of it.
func (r *Receivers) erase(ctx context.Context, tx *sql.Tx, j *Job) error {
	u, err := url.Parse(j.callback.url)
	if err != nil {
		return nil //nolint:nilerr // then it is no receiver of ours
	}
	id, local := notify.LocalHost(u)
	if !local {
		return nil
	}
	has := `instr(body, CAST($2 AS BLOB)) > 0`
	if r.db.postgres {
		has = `position(convert_to($2, 'UTF8') IN body) > 0`
	}
	if _, err := tx.ExecContext(ctx, `UPDATE receivers SET used_at = used_at WHERE id = $1`, id); err != nil { // locks it first, as store does
		return fmt.Errorf("erase received callbacks: %w", err)
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM received WHERE receiver_id = $1 AND `+has, id, `"data":{"job":{"id":"`+j.ID+`"`); err != nil {
		return fmt.Errorf("erase received callbacks: %w", err)
	}
	return nil
}

// forget removes receivers that nobody has used for long.
func (r *Receivers) forget(ctx context.Context) error {
	before := At(time.Now().Add(-receiverAge))
	var one int
	err := r.db.read.QueryRowContext(ctx, `SELECT 1 FROM receivers WHERE used_at < $1 LIMIT 1`, before).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = dropReceivers(ctx, r.db.write, `used_at < $1`, before)
	}
	if err != nil {
		return fmt.Errorf("forget receivers: %w", err)
	}
	return nil
}

func dropReceivers(ctx context.Context, db execer, condition string, arg any) error {
	for _, stmt := range []string{
		`UPDATE receivers SET used_at = used_at WHERE ` + condition, // locks it first, as store does
		`DELETE FROM received WHERE receiver_id IN (SELECT id FROM receivers WHERE ` + condition + `)`,
		`DELETE FROM receivers WHERE ` + condition,
	} {
		if _, err := db.ExecContext(ctx, stmt, arg); err != nil {
			return fmt.Errorf("remove receivers: %w", err)
		}
	}
	return nil
}
