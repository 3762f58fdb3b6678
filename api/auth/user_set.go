package auth

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Challenge is the value of the WWW-Authenticate header for HTTP Basic (RFC
// 7617). Every 401 response must have this header (RFC 9110, section 11.6.1).
const Challenge = `Basic realm="Authentication Required"`

var (
	// ErrNoCredentials means that a request has no Authorization header.
	ErrNoCredentials = errors.New("no credentials")
	// ErrBadCredentials means that the user name, the password or the API key
	// is wrong. It does not reveal which.
	ErrBadCredentials = errors.New("incorrect credentials")
)

// A RetryError means that credentials were not verified because the client had
// too many failures or because too many logins are waiting.
type RetryError struct {
	// After is how long to wait before the next attempt, in whole seconds, for
	// the Retry-After header.
	After time.Duration
}

// Error implements error.
func (e *RetryError) Error() string {
	return fmt.Sprintf("too many login attempts, try again in %s", e.After)
}

func retryAfter(wait time.Duration) *RetryError {
	return &RetryError{After: (wait + time.Second - 1).Truncate(time.Second)}
}

// A User is an authenticated user who makes a request.
type User struct {
	// Name is the owner of the jobs that the user submits.
	Name string
	// Admin reports whether the user may see the jobs of all users.
	Admin bool
	// Services are the names of the services that the user may run. If it is
	// nil, the user may run all services.
	Services []string
}

// MayRun reports whether the user may submit jobs to the service.
func (u User) MayRun(service string) bool {
	return u.Services == nil || slices.Contains(u.Services, service)
}

// Credentials are the users in the configuration file. A user has a password,
// API keys, or both.
type Credentials struct {
	// Users maps a user name to a password hash from [HashPassword], Werkzeug
	// (pbkdf2 or scrypt), bcrypt or argon2id.
	Users map[string]string
	// APIKeys maps a user name to hashes of API keys from [NewAPIKey].
	APIKeys map[string][]string
	// Admins are the names of the users, from Users or APIKeys, who see all
	// jobs.
	Admins []string
	// Services maps a user name to the services that the user may run. Users
	// without an entry may run all services.
	Services map[string][]string
}

// A userSet is an immutable set of users. A reload of the configuration
// replaces it.
type userSet struct {
	logins    *logins
	keys      apiKeys
	admins    []string
	services  map[string][]string
	passwords map[string]string // user name to hash of the password hash, which changes with the password
}

func newUserSet(c Credentials) (*userSet, error) {
	hashes, keys := map[string]verifier{}, apiKeys{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Users)) {
		matches, err := parseHash(c.Users[name])
		if err != nil {
			errs = append(errs,
				fmt.Errorf("password of user %q: %w; create one with `coatcheck hash-password`", name, err))
		}
		errs = append(errs, checkName(name))
		hashes[name] = matches
	}
	for _, name := range slices.Sorted(maps.Keys(c.APIKeys)) {
		if len(c.APIKeys[name]) == 0 {
			errs = append(errs, fmt.Errorf("API keys of user %q: the list is empty", name))
		}
		for i, hash := range c.APIKeys[name] {
			if err := keys.add(name, hash); err != nil {
				errs = append(errs, fmt.Errorf("API key %d of user %q: %w", i+1, name, err))
			}
		}
		errs = append(errs, checkName(name))
	}
	exists := func(name string) bool {
		_, hasPassword := c.Users[name]
		_, hasKey := c.APIKeys[name]
		return hasPassword || hasKey
	}
	for _, name := range c.Admins {
		if !exists(name) {
			errs = append(errs, fmt.Errorf("admin %q has neither a password nor an API key", name))
		}
	}
	services := make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(c.Services)) {
		if !exists(name) {
			errs = append(errs,
				fmt.Errorf("allowed_services of %q: this user has neither a password nor an API key", name))
		}
		services[name] = append([]string{}, c.Services[name]...) // an empty list allows no service
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	passwords, maxCost := make(map[string]string), hashCost{}
	for name, hash := range c.Users {
		cost := costOf(hash)
		maxCost.memory, maxCost.cores = max(maxCost.memory, cost.memory), max(maxCost.cores, cost.cores)
		sum := sha256.Sum256([]byte(hash))
		passwords[name] = "password:" + hex.EncodeToString(sum[:])
	}
	return &userSet{
		logins: newLogins(hashes, maxConcurrentHashes(maxCost)), keys: keys, admins: slices.Clone(c.Admins),
		services: services, passwords: passwords,
	}, nil
}

// checkName returns an error for names that HTTP Basic cannot carry (RFC 7617,
// section 2).
func checkName(name string) error {
	if name == "" || !validText(name) ||
		strings.ContainsFunc(name, func(r rune) bool { return r == ':' || r < ' ' || r == 0x7f }) {
		return fmt.Errorf("user %q: a name must not be empty or contain a colon or control characters", name)
	}
	return nil
}

// LocalUser is the name of the admin who makes every request while no users are
// configured.
const LocalUser = "local"

func (u *userSet) open() bool {
	return len(u.logins.hashes) == 0 && len(u.keys) == 0
}

func (u *userSet) authenticate(r *http.Request) (User, error) {
	if u.open() {
		return User{Name: LocalUser, Admin: true}, nil
	}
	header := r.Header.Get("Authorization")
	if header == "" {
		return User{}, ErrNoCredentials
	}
	if scheme, key, _ := strings.Cut(header, " "); strings.EqualFold(scheme, "Bearer") {
		name, ok := u.keys.user(strings.TrimSpace(key))
		if !ok {
			return User{}, ErrBadCredentials
		}
		return u.user(name), nil
	}
	name, password, ok := r.BasicAuth()
	if !ok || !validText(name) || !validText(password) || len(u.logins.hashes) == 0 {
		return User{}, ErrBadCredentials
	}
	if err := u.logins.verify(r.Context(), Address(r.RemoteAddr), name, password); err != nil {
		return User{}, err
	}
	return u.user(name), nil
}

func (u *userSet) user(name string) User {
	return User{Name: name, Admin: slices.Contains(u.admins, name), Services: u.services[name]}
}

func (u *userSet) signIn(r *http.Request, name, password string) (credential string, err error) {
	if owner, ok := u.keys.user(password); ok && owner == name {
		sum := sha256.Sum256([]byte(password))
		return "key:" + hex.EncodeToString(sum[:]), nil
	}
	if u.open() || len(u.logins.hashes) == 0 || !validText(name) || !validText(password) {
		return "", ErrBadCredentials
	}
	if err := u.logins.verify(r.Context(), Address(r.RemoteAddr), name, password); err != nil {
		return "", err
	}
	return u.passwords[name], nil
}

func (u *userSet) validCredential(name, credential string) bool {
	if digits, ok := strings.CutPrefix(credential, "key:"); ok {
		sum, err := hex.DecodeString(digits)
		return err == nil && len(sum) == sha256.Size && u.keys[[sha256.Size]byte(sum)] == name
	}
	return credential != "" && u.passwords[name] == credential
}
