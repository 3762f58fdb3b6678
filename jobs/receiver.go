package jobs

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"coatcheck/notify"
	"coatcheck/notify/webhook"
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

// RoundTrip takes a callback as the receiver's own server would; it implements
// [http.RoundTripper].
func (r *Receivers) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	defer req.Body.Close()
	body, err := io.ReadAll(io.LimitReader(req.Body, maxReceivedBody))
	if err != nil {
		return nil, fmt.Errorf("receive callback: %w", err)
	}
	const gone = "this test receiver is gone"
	id, _ := notify.LocalHost(req.URL)
	to, err := r.read(ctx, `id = $1`, id)
	if errors.Is(err, ErrNoReceiver) {
		return respond(req, http.StatusNotFound, gone), nil
	}
	if err != nil {
		return nil, err
	}
	got := Received{At: At(time.Now()), Header: req.Header.Clone(), Body: body}
	switch to.Damage {
	case DamageBody:
		got.Body = append(bytes.TrimSuffix(bytes.TrimSpace(got.Body), []byte("}")), `,"added":"on the way"}`...)
	case DamageTime:
		got.At = At(got.At.Add(10 * time.Minute))
	}
	if got.Verdict, err = r.verify(ctx, to.owner, &got); err != nil {
		return nil, err
	}
	response := respond(req, http.StatusOK, "thank you")
	switch to.Answer {
	case AnswerError:
		response = respond(req, http.StatusInternalServerError, "told to fail")
	case AnswerGone:
		response = respond(req, http.StatusGone, "told to be gone")
	case AnswerRedirect:
		response = respond(req, http.StatusFound, "told to send you elsewhere")
		response.Header.Set("Location", "/elsewhere")
	case AnswerNever:
		response = respond(req, 0, "")
	}
	got.StatusCode = response.StatusCode
	if err := r.store(ctx, to.id, &got); errors.Is(err, ErrNoReceiver) {
		return respond(req, http.StatusNotFound, gone), nil
	} else if err != nil {
		return nil, err
	}
	wait := time.Duration(0)
	switch to.Answer {
	case AnswerSlow:
		wait = slowAnswer
	case AnswerNever:
		wait = neverAnswer
	}
	select {
	case <-time.After(wait):
		return response, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("receive callback: %w", context.Cause(ctx))
	}
}

// verify returns why the signature is wrong, as the receiver of the owner's
// callbacks finds it.
func (r *Receivers) verify(ctx context.Context, owner string, c *Received) (verdict string, err error) {
	keys, err := r.keys.Signing(ctx, owner)
	if err != nil {
		return "", err
	}
	for _, key := range keys {
		err := c.Verify(cmp.Or(key.PublicKey(), key.Secret()))
		if err == nil {
			return "", nil
		}
		verdict = err.Error()
	}
	return verdict, nil
}

// Verify checks the callback with a key of the caller's, "whsec_…" or
// "whpk_…", as at the time it came. The error says what is wrong.
func (c *Received) Verify(key string) error {
	return webhook.Verify(key, c.Header, c.Body, c.At.Time)
}

func respond(req *http.Request, status int, text string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: req,
	}
}

// store keeps a callback, and of those before it the newest.
func (r *Receivers) store(ctx context.Context, id string, c *Received) error {
	var err error
	if c.ID, err = newID(""); err != nil {
		return err
	}
	header, err := json.Marshal(c.Header)
	if err != nil {
		return fmt.Errorf("store callback: %w", err)
	}
	tx, err := r.db.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("store callback: %w", err)
	}
	defer tx.Rollback()
	// It comes first because it locks the receiver, which may be gone by now.
	res, err := tx.ExecContext(ctx, `UPDATE receivers SET used_at = $1 WHERE id = $2`, At(time.Now()), id)
	if err != nil {
		return fmt.Errorf("store callback: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return cmp.Or(err, ErrNoReceiver)
	}
	for _, stmt := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO received (receiver_id, id, at, headers, body, verdict, status_code) VALUES ($1, $2, $3, $4, $5, $6, $7)`, []any{id, c.ID, c.At, string(header), c.Body, c.Verdict, c.StatusCode}},
		{fmt.Sprintf(`DELETE FROM received WHERE receiver_id = $1 AND id NOT IN (SELECT id FROM received WHERE receiver_id = $1 ORDER BY id DESC LIMIT %d)`, maxReceived), []any{id}},
	} {
		if _, err := tx.ExecContext(ctx, stmt.query, stmt.args...); err != nil {
			return fmt.Errorf("store callback: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("store callback: %w", err)
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
