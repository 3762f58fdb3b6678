package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"coatcheck/jobs/store"
)

// ErrNoSession means that the session does not exist or has ended.
var ErrNoSession = errors.New("no such session")

const (
	// SessionLifetime is how long a browser stays signed in.
	SessionLifetime = 24 * time.Hour
	// rotateAfter is the age at which a session's secret is replaced. rotationGrace is how long the
	// old secret remains valid, for concurrent requests.
	rotateAfter   = 15 * time.Minute
	rotationGrace = time.Minute
)

// Sessions are the sessions of signed-in browsers. The table contains only hashes of their secrets,
// so reading it does not allow anyone to use a session.
type Sessions struct{ db *store.DB }

// A Session is the session of a signed-in browser.
type Session struct {
	Owner string
	// Credential is what the owner signed in with, as passed to [Sessions.Begin].
	Credential string
	ExpiresAt  store.Time
	rotatedAt  store.Time
}

// NewSessions returns the sessions in the database.
func NewSessions(db *store.DB) *Sessions { return &Sessions{db} }

func sessionID(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// Begin creates a session for the owner and returns its secret, for a cookie.
func (s *Sessions) Begin(ctx context.Context, owner, credential string) (secret string, session Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	now := time.Now()
	session = Session{Owner: owner, Credential: credential, ExpiresAt: store.At(now.Add(SessionLifetime)), rotatedAt: store.At(now)}
	secret = rand.Text()
	return secret, session, s.insert(ctx, s.db.Write, secret, &session)
}

func (s *Sessions) insert(ctx context.Context, db store.Execer, secret string, session *Session) error {
	if _, err := db.ExecContext(ctx, `INSERT INTO sessions (id, owner, credential, rotated_at, expires_at) VALUES ($1, $2, $3, $4, $5)`,
		sessionID(secret), session.Owner, session.Credential, session.rotatedAt, session.ExpiresAt); err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	return nil
}

// Find returns the session with this secret. Error: [ErrNoSession].
func (s *Sessions) Find(ctx context.Context, secret string) (session Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	err = s.db.Read.QueryRowContext(ctx,
		`SELECT owner, credential, rotated_at, expires_at FROM sessions WHERE id = $1 AND expires_at > $2`,
		sessionID(secret), store.At(time.Now())).
		Scan(&session.Owner, &session.Credential, &session.rotatedAt, &session.ExpiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNoSession
	}
	if err != nil {
		return Session{}, fmt.Errorf("read session: %w", err)
	}
	return session, nil
}

// Rotate replaces the session's secret if it is old, and returns the new secret; otherwise "". The
// old secret remains valid for a minute.
func (s *Sessions) Rotate(ctx context.Context, secret string, session Session) (fresh string, err error) {
	now := time.Now()
	if now.Sub(session.rotatedAt.Time) < rotateAfter {
		return "", nil
	}
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	tx, err := s.db.Begin(ctx)
	if err != nil {
		return "", fmt.Errorf("rotate session: %w", err)
	}
	defer tx.Rollback()
	// Of concurrent requests, only one rotates.
	res, err := tx.ExecContext(ctx, `UPDATE sessions SET rotated_at = $1, expires_at = CASE WHEN expires_at < $2 THEN expires_at ELSE $2 END WHERE id = $3 AND rotated_at = $4`,
		store.At(now), store.At(now.Add(rotationGrace)), sessionID(secret), session.rotatedAt)
	if err != nil {
		return "", fmt.Errorf("rotate session: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return "", err
	}
	fresh, session.rotatedAt = rand.Text(), store.At(now)
	if err := s.insert(ctx, tx, fresh, &session); err != nil {
		return "", err
	}
	if err := tx.Commit(); err != nil {
		return "", fmt.Errorf("rotate session: %w", err)
	}
	return fresh, nil
}

// End ends the session with this secret, if there is one.
func (s *Sessions) End(ctx context.Context, secret string) error {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	if _, err := s.db.Write.ExecContext(ctx, `DELETE FROM sessions WHERE id = $1`, sessionID(secret)); err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// DeleteExpired deletes expired sessions.
func (s *Sessions) DeleteExpired(ctx context.Context) error {
	var one int
	err := s.db.Read.QueryRowContext(ctx,
		`SELECT 1 FROM sessions WHERE expires_at < $1 LIMIT 1`, store.At(time.Now())).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = s.db.Write.ExecContext(ctx, `DELETE FROM sessions WHERE expires_at < $1`, store.At(time.Now()))
	}
	if err != nil {
		return fmt.Errorf("delete expired sessions: %w", err)
	}
	return nil
}
