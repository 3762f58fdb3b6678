package receivers

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"coatcheck/jobs/keys"
	"coatcheck/jobs/store"
	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

// RoundTrip implements [http.RoundTripper]. It handles a callback like the receiver's server would.
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
	got := Received{At: store.At(time.Now()), Header: req.Header.Clone(), Body: body}
	switch to.Damage {
	case DamageBody:
		got.Body = append(bytes.TrimSuffix(bytes.TrimSpace(got.Body), []byte("}")), `,"added":"on the way"}`...)
	case DamageTime:
		got.At = store.At(got.At.Add(10 * time.Minute))
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

// verify verifies the signature of a callback like the receiver of the owner would. It returns what
// is wrong with the signature; "" if it is valid.
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

// Verify verifies the callback with a key, "whsec_…" or "whpk_…", as of the time when it arrived.
// The error describes what is wrong.
func (c *Received) Verify(key string) error {
	return webhook.Verify(key, c.Header, c.Body, c.At.Time)
}

func respond(req *http.Request, status int, text string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprintf("%d %s", status, http.StatusText(status)), Proto: "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"text/plain; charset=utf-8"}}, Body: io.NopCloser(strings.NewReader(text)),
		ContentLength: int64(len(text)), Request: req,
	}
}

// store stores a callback and deletes the receiver's oldest ones.
func (r *Receivers) store(ctx context.Context, id string, c *Received) error {
	var err error
	if c.ID, err = keys.NewID(""); err != nil {
		return err
	}
	header, err := json.Marshal(c.Header)
	if err != nil {
		return fmt.Errorf("store callback: %w", err)
	}
	tx, err := r.db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("store callback: %w", err)
	}
	defer tx.Rollback()
	// The UPDATE comes first because it locks the receiver, which may have been deleted.
	res, err := tx.ExecContext(ctx, `UPDATE receivers SET used_at = $1 WHERE id = $2`, store.At(time.Now()), id)
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
