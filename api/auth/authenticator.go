// Package auth finds out who makes a request: by password (HTTP Basic), by API key or
// by a session, with limits for those who guess.
package auth

import (
	"errors"
	"net/http"
	"sync/atomic"
)

// An Authenticator finds out who makes a request. It may be used by many
// goroutines at once.
type Authenticator struct {
	current atomic.Pointer[userSet]
}

// New reports all mistakes in the credentials together, by the
// names of the users and without their hashes. Without any users and keys the
// authenticator is open.
func New(c Credentials) (*Authenticator, error) {
	r, err := newUserSet(c)
	if err != nil {
		return nil, err
	}
	a := new(Authenticator)
	a.current.Store(r)
	return a, nil
}

// Reload takes other credentials for the requests that come from now on; after
// an error it goes on with those it has. It can't become open, or no longer be:
// the rest of the server was made for the one or the other.
func (a *Authenticator) Reload(c Credentials) error {
	r, err := newUserSet(c)
	if err != nil {
		return err
	}
	if r.open() != a.Open() {
		return errors.New("the first users can't come, and the last can't go, while the server runs: restart it")
	}
	a.current.Store(r)
	return nil
}

// Open reports whether there are no users: every request is then made by
// LocalUser, and the caller sees to it that only this machine can make any.
func (a *Authenticator) Open() bool { return a.current.Load().open() }

// Restricts reports whether some users may not run all services.
func (a *Authenticator) Restricts() bool { return len(a.current.Load().services) > 0 }

// Authenticate returns who makes the request, by HTTP Basic (RFC 7617) or an
// API key as a bearer token (RFC 6750). Otherwise the error is
// [ErrNoCredentials], [ErrBadCredentials], a [*RetryError], or wraps the one
// of the request's context.
func (a *Authenticator) Authenticate(r *http.Request) (User, error) {
	return a.current.Load().authenticate(r)
}

// SignIn returns what a user has signed in with, in a form that tells nothing
// of it, for [Authenticator.Knows]. The password may also be an API key.
// Errors are those of [Authenticator.Authenticate].
func (a *Authenticator) SignIn(r *http.Request, name, password string) (credential string, err error) {
	return a.current.Load().signIn(r, name, password)
}

// Knows reports whether the user could still sign in with the credential.
func (a *Authenticator) ValidCredential(name, credential string) bool {
	return a.current.Load().validCredential(name, credential)
}

// User returns the user of a name that [Authenticator.SignIn] or
// [Authenticator.Authenticate] has accepted.
func (a *Authenticator) User(name string) User { return a.current.Load().user(name) }
