package auth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newTestAuthenticator(tb testing.TB, c Credentials) *Authenticator {
	tb.Helper()
	a, err := New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

func TestAuthenticate(t *testing.T) {
	key, hash, err := NewAPIKey()
	if err != nil {
		t.Fatal(err)
	}
	a := newTestAuthenticator(t, Credentials{
		Users:   map[string]string{"alice": vectors["pbkdf2 sha256"], "bob": vectors["bcrypt 2b"], "zoë": vectors["argon2id"]},
		APIKeys: map[string][]string{"alice": {hash}},
		Admins:  []string{"bob"},
	})
	basic := func(name, password string) string {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(name, password)
		return r.Header.Get("Authorization")
	}
	tests := []struct {
		name, header string
		want         User
		err          error
	}{
		{"password", basic("alice", vectorPassword), User{Name: "alice"}, nil},
		{"password of an admin", basic("bob", vectorPassword), User{Name: "bob", Admin: true}, nil},
		{"name in UTF-8", basic("zoë", vectorPassword), User{Name: "zoë"}, nil},
		{"key", "Bearer " + key, User{Name: "alice"}, nil},
		{"scheme in other letters", "bEARER " + key, User{Name: "alice"}, nil},

		{"no header", "", User{}, ErrNoCredentials},
		{"wrong password", basic("alice", "wrong"), User{}, ErrBadCredentials},
		{"empty password", basic("alice", ""), User{}, ErrBadCredentials},
		{"hash as the password", basic("alice", vectors["pbkdf2 sha256"]), User{}, ErrBadCredentials},
		{"unknown name", basic("carol", vectorPassword), User{}, ErrBadCredentials},
		{"name in other letters", basic("Alice", vectorPassword), User{}, ErrBadCredentials},
		{"empty name", basic("", vectorPassword), User{}, ErrBadCredentials},
		{"NUL in the name", basic("alice\x00", vectorPassword), User{}, ErrBadCredentials},
		{"NUL in the password", basic("alice", vectorPassword+"\x00"), User{}, ErrBadCredentials},
		{"name not in UTF-8", basic("zo\xeb", vectorPassword), User{}, ErrBadCredentials},
		{"password not in UTF-8", basic("alice", "correct horse p\xe4per"), User{}, ErrBadCredentials},
		{"wrong key", "Bearer " + key + "x", User{}, ErrBadCredentials},
		{"hash as the key", "Bearer " + hash, User{}, ErrBadCredentials},
		{"no key", "Bearer", User{}, ErrBadCredentials},
		{"key as the password", basic("alice", key), User{}, ErrBadCredentials},
		{"key without a scheme", key, User{}, ErrBadCredentials},
		{"Basic that is not base64", "Basic !", User{}, ErrBadCredentials},
		{"Basic without a colon", "Basic YWxpY2U=", User{}, ErrBadCredentials},
		{"another scheme", `Digest username="alice"`, User{}, ErrBadCredentials},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
			r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1234", i) // each may fail a few times
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			for range 2 { // the second time from memory
				got, err := a.Authenticate(r)
				expectError(t, err, tt.err)
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("user (-want +got):\n%s", diff)
				}
			}
		})
	}
	if a.Open() {
		t.Error("got open with users, want closed")
	}
}

func TestAuthenticateThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestAuthenticator(t, Credentials{Users: map[string]string{"alice": vectors["bcrypt 2b"]}})
		r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
		r.SetBasicAuth("alice", "wrong")
		for range 10 {
			_, err := a.Authenticate(r)
			expectError(t, err, ErrBadCredentials)
		}
		time.Sleep(500 * time.Millisecond)
		r.RemoteAddr = strings.Replace(r.RemoteAddr, ":", ":1", 1) // another port of the same host
		_, err := a.Authenticate(r)
		expectError(t, err, &RetryError{After: 6 * time.Second}) // 5.5 s, rounded up
	})
}

func TestAuthenticateOpen(t *testing.T) {
	a := newTestAuthenticator(t, Credentials{})
	if !a.Open() {
		t.Error("got closed without users, want open")
	}
	r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
	for range 2 {
		got, err := a.Authenticate(r)
		expectError(t, err, nil)
		if diff := cmp.Diff(User{Name: "local", Admin: true}, got); diff != "" {
			t.Errorf("user (-want +got):\n%s", diff)
		}
		r.SetBasicAuth("somebody", "wrong")
	}
}

func TestAuthenticateKeysOnly(t *testing.T) {
	key, hash, err := NewAPIKey()
	if err != nil {
		t.Fatal(err)
	}
	a := newTestAuthenticator(t, Credentials{APIKeys: map[string][]string{"ci": {hash}}, Admins: []string{"ci"}})
	r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
	r.SetBasicAuth("ci", key)
	_, err = a.Authenticate(r)
	expectError(t, err, ErrBadCredentials)
	r.Header.Set("Authorization", "Bearer "+key)
	got, err := a.Authenticate(r)
	expectError(t, err, nil)
	if diff := cmp.Diff(User{Name: "ci", Admin: true}, got); diff != "" {
		t.Errorf("user (-want +got):\n%s", diff)
	}
}

func TestCredentialMistakes(t *testing.T) {
	_, hash, err := NewAPIKey()
	if err != nil {
		t.Fatal(err)
	}
	_, err = New(Credentials{
		Users: map[string]string{
			"alice": vectors["scrypt"],
			"bob":   "hunter2",
			"carol": "pbkdf2:sha256:99999999$hunter2$00",
			"d:e":   vectors["bcrypt 2b"],
			"":      vectors["bcrypt 2b"],
		},
		APIKeys: map[string][]string{
			"alice": {hash, "ck_hunter2"},
			"ci":    {},
			"frank": {hash},
		},
		Admins: []string{"alice", "bob", "ghost"},
	})
	if err == nil {
		t.Fatal("got no error")
	}
	want := []string{
		`user "": a name must not be empty or contain a colon or control characters`,
		"password of user \"bob\": unknown kind of password hash; create one with `coatcheck hash-password`",
		"password of user \"carol\": malformed pbkdf2 hash, its length does not match its digest; create one with `coatcheck hash-password`",
		`user "d:e": a name must not be empty or contain a colon or control characters`,
		`API key 2 of user "alice": want "sha256:" and 64 hexadecimal digits`,
		`API keys of user "ci": the list is empty`,
		`API key 1 of user "frank": the same key is listed for "alice" already`,
		`admin "ghost" has neither a password nor an API key`,
	}
	if diff := cmp.Diff(want, strings.Split(err.Error(), "\n")); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

func BenchmarkAuthenticateCached(b *testing.B) {
	a := newTestAuthenticator(b, Credentials{Users: map[string]string{"alice": vectors["bcrypt 2b"]}})
	r := httptest.NewRequest(http.MethodGet, "/v1/jobs", nil)
	r.SetBasicAuth("alice", vectorPassword)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.Authenticate(r); err != nil {
			b.Fatal(err)
		}
	}
}
