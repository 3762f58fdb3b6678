// Package receivers has the test receivers of the web page: a user tries callbacks with them without
// a server of their own.
package receivers

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

	"coatcheck/jobs"
	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

// ErrNoReceiver means that the user has no test receiver.
var ErrNoReceiver = errors.New("no such receiver")

// The responses of a test receiver.
const (
	AnswerOK       = "ok"
	AnswerError    = "error"    // 500: the sender retries
	AnswerGone     = "gone"     // 410: the sender gives up
	AnswerRedirect = "redirect" // 302: the sender does not follow it
	AnswerSlow     = "slow"     // 200, after slowAnswer
	AnswerNever    = "never"    // no response before the sender's timeout
)

// The damages that a test receiver can do to a callback before it verifies the signature.
const (
	DamageNone = "none"
	DamageBody = "body" // changes the body but not the signature
	DamageTime = "time" // replays the callback ten minutes later
)

// The valid settings of a receiver.
var (
	Answers = []string{AnswerOK, AnswerError, AnswerGone, AnswerRedirect, AnswerSlow, AnswerNever}
	Damages = []string{DamageNone, DamageBody, DamageTime}
)

const (
	// maxReceived is how many callbacks of a receiver are stored. receiverAge is how long an unused
	// receiver is kept.
	maxReceived = 50
	receiverAge = 24 * time.Hour
	// slowAnswer is the delay of a slow receiver.
	slowAnswer = 5 * time.Second
	// neverAnswer is longer than the timeout of any sender.
	neverAnswer = 2 * time.Minute
	// maxReceivedBody is larger than any callback.
	maxReceivedBody = 1 << 20
)

// Receivers are the test receivers of the web page. Callbacks to their URLs are handled inside the
// sending process. Nothing is dialed, and the receivers cannot be reached from outside.
type Receivers struct {
	db   *store.DB
	keys *keys.Keyring
}

// New returns the receivers in the database.
func New(db *store.DB, ring *keys.Keyring) *Receivers { return &Receivers{db, ring} }

// A Receiver is a user's test receiver.
type Receiver struct {
	URL            string
	Answer, Damage string
	Received       []Received // newest first

	id, owner string
}

// A Received is a callback that a test receiver received.
type Received struct {
	ID         string
	At         store.Time
	Header     http.Header
	Body       []byte
	Verdict    string // why the signature is invalid; empty if it is valid
	StatusCode int    // status of the response; 0 for none
}

// Mine returns the user's receiver with its callbacks. Error: [ErrNoReceiver].
func (r *Receivers) Mine(ctx context.Context, owner string) (Receiver, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	found, err := r.read(ctx, `owner = $1`, owner)
	if err != nil {
		return found, err
	}
	rows, err := r.db.Read.QueryContext(ctx,
		`SELECT id, at, headers, body, verdict, status_code FROM received WHERE receiver_id = $1 ORDER BY id DESC`,
		found.id)
	if err != nil {
		return found, fmt.Errorf("read received callbacks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var c Received
		if err := rows.Scan(&c.ID, &c.At, store.JSON(&c.Header), &c.Body, &c.Verdict,
			&c.StatusCode); err != nil {
			return found, fmt.Errorf("read received callbacks: %w", err)
		}
		found.Received = append(found.Received, c)
	}
	return found, rows.Err()
}

func (r *Receivers) read(ctx context.Context, condition, arg string) (found Receiver, err error) {
	err = r.db.Read.QueryRowContext(ctx, `SELECT id, owner, answer, damage FROM receivers WHERE `+condition,
		arg).Scan(&found.id, &found.owner, &found.Answer, &found.Damage)
	if errors.Is(err, sql.ErrNoRows) {
		return found, ErrNoReceiver
	}
	if err != nil {
		return found, fmt.Errorf("read receiver: %w", err)
	}
	found.URL = notify.LocalURL(found.id)
	return found, nil
}

// Create creates a receiver for the user and replaces the previous one.
func (r *Receivers) Create(ctx context.Context, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	id, err := keys.NewID("")
	if err != nil {
		return err
	}
	tx, err := r.db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("create receiver: %w", err)
	}
	defer tx.Rollback()
	if err := deleteReceivers(ctx, tx, `owner = $1`, owner); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO receivers (id, owner, answer, damage, used_at) VALUES ($1, $2, 'ok', 'none', $3)
		ON CONFLICT (owner) DO UPDATE SET id = excluded.id`, id, owner, store.At(time.Now())); err != nil {
		return fmt.Errorf("create receiver: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("create receiver: %w", err)
	}
	return nil
}

// Set sets the response of the user's receiver, one of [Answers], and the damage to its callbacks,
// one of [Damages]. Error: [ErrNoReceiver].
func (r *Receivers) Set(ctx context.Context, owner, answer, damage string) error {
	if !slices.Contains(Answers, answer) || !slices.Contains(Damages, damage) {
		return &jobs.FieldError{Field: "answer", Message: "expected one of " + strings.Join(Answers, ", ")}
	}
	res, err := r.db.Write.ExecContext(ctx,
		`UPDATE receivers SET answer = $1, damage = $2, used_at = $3 WHERE owner = $4`,
		answer, damage, store.At(time.Now()), owner)
	if err != nil {
		return fmt.Errorf("set receiver: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, ErrNoReceiver)
	}
	return nil
}

// Erase deletes a job's callbacks from the test receiver with this URL, if there is one.
func (r *Receivers) Erase(ctx context.Context, tx store.Tx, jobID, callbackURL string) error {
	u, err := url.Parse(callbackURL)
	if err != nil {
		return nil //nolint:nilerr // then it is not a test receiver
	}
	id, local := notify.LocalHost(u)
	if !local {
		return nil
	}
	has := `instr(body, CAST($2 AS BLOB)) > 0`
	if r.db.Postgres() {
		has = `position(convert_to($2, 'UTF8') IN body) > 0`
	}
	// Locks the receiver first, as store does.
	if _, err := tx.ExecContext(ctx, `UPDATE receivers SET used_at = used_at WHERE id = $1`, id); err != nil {
		return fmt.Errorf("erase received callbacks: %w", err)
	}
	if _, err := tx.ExecContext(ctx,
		`DELETE FROM received WHERE receiver_id = $1 AND `+has, id, `"data":{"job":{"id":"`+jobID+`"`); err != nil {
		return fmt.Errorf("erase received callbacks: %w", err)
	}
	return nil
}

// DeleteExpired deletes receivers that were not used for receiverAge.
func (r *Receivers) DeleteExpired(ctx context.Context) error {
	before := store.At(time.Now().Add(-receiverAge))
	var one int
	err := r.db.Read.QueryRowContext(ctx, `SELECT 1 FROM receivers WHERE used_at < $1 LIMIT 1`, before).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		err = deleteReceivers(ctx, r.db.Write, `used_at < $1`, before)
	}
	if err != nil {
		return fmt.Errorf("forget receivers: %w", err)
	}
	return nil
}

func deleteReceivers(ctx context.Context, db store.Execer, condition string, arg any) error {
	for _, stmt := range []string{
		`UPDATE receivers SET used_at = used_at WHERE ` + condition, // locks them first, as store does
		`DELETE FROM received WHERE receiver_id IN (SELECT id FROM receivers WHERE ` + condition + `)`,
		`DELETE FROM receivers WHERE ` + condition,
	} {
		if _, err := db.ExecContext(ctx, stmt, arg); err != nil {
			return fmt.Errorf("remove receivers: %w", err)
		}
	}
	return nil
}
