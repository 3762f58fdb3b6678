// Package auth authenticates requests by password (HTTP Basic), API key or
// session, and rate-limits failed attempts.
package auth

import (
	"errors"
	"net/http"
	"sync/atomic"
)

// An Authenticator determines which user makes a request. It is safe for
// concurrent use by multiple goroutines.
type Authenticator struct {
	current atomic.Pointer[userSet]
}

// New returns an Authenticator for the credentials. Its error lists every
// invalid credential by user name and never contains a hash. Without users and
// API keys, the authenticator is open (see [Authenticator.Open]).
func New(c Credentials) (*Authenticator, error) {
	r, err := newUserSet(c)
	if err != nil {
		return nil, err
	}
	a := new(Authenticator)
	a.current.Store(r)
	return a, nil
}

// Reload replaces the credentials for subsequent requests. If it returns an
// error, the previous credentials remain in effect. Reload can neither open a
// closed authenticator nor close an open one, because the rest of the server is
// configured at startup for one of the two.
func (a *Authenticator) Reload(c Credentials) error {
	r, err := newUserSet(c)
	if err != nil {
		return err
	}
	if r.open() != a.Open() {
		return errors.New("adding the first users or removing the last ones requires a restart")
	}
	a.current.Store(r)
	return nil
}

// Open reports whether there are no users. Every request is then made by
// [LocalUser], and the caller must ensure that only the local machine can send
// requests.
func (a *Authenticator) Open() bool { return a.current.Load().open() }

// Restricts reports whether at least one user may not run all services.
func (a *Authenticator) Restricts() bool { return len(a.current.Load().services) > 0 }

// Authenticate returns the user who makes the request, identified by HTTP Basic
// credentials (RFC 7617) or by an API key sent as a bearer token (RFC 6750).
// The error is [ErrNoCredentials], [ErrBadCredentials] or a [*RetryError], or
// wraps the error of the request's context.
func (a *Authenticator) Authenticate(r *http.Request) (User, error) {
	return a.current.Load().authenticate(r)
}

// SignIn verifies a password or an API key and returns a credential for
// [Authenticator.ValidCredential], from which the password or key cannot be
// recovered. It returns the same errors as [Authenticator.Authenticate].
func (a *Authenticator) SignIn(r *http.Request, name, password string) (credential string, err error) {
	return a.current.Load().signIn(r, name, password)
}

// ValidCredential reports whether a credential returned by
// [Authenticator.SignIn] is still valid for the user.
func (a *Authenticator) ValidCredential(name, credential string) bool {
	return a.current.Load().validCredential(name, credential)
}

// Methods returns how a user can authenticate: whether by a password, and by how many API keys.
func (a *Authenticator) Methods(name string) (password bool, keys int) {
	u := a.current.Load()
	for _, owner := range u.keys {
		if owner == name {
			keys++
		}
	}
	return u.passwords[name] != "", keys
}

// User returns the user with a name that [Authenticator.SignIn] or
// [Authenticator.Authenticate] has accepted.
func (a *Authenticator) User(name string) User { return a.current.Load().user(name) }
