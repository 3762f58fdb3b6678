package api_test

import (
	"strings"
	"testing"

	"coatcheck/api/auth"
	"coatcheck/jobs/jobstest"
)

// The documentation shows callers the services that they may run.
func TestDocsShowAllowedServices(t *testing.T) {
	t.Parallel()
	credentials, keys := aliceAndBob(t)
	open := newFixture(t, jobstest.SQLite(t), options{})
	unrestricted := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	credentials.Services = map[string][]string{"bob": {"maths.add"}}
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	const none = "X: y"
	alice, bob := "Authorization: Bearer "+keys["alice"], "Authorization: Bearer "+keys["bob"]
	bobSession := f.signIn(t, "bob", keys["bob"])
	for _, test := range []struct {
		name         string
		f            *fixture
		header       string
		shows, hides []string
	}{
		{"without users", open, none, []string{"/v1/services/sleep/jobs", "/v1/services/maths.add/jobs", "SleepInput"}, nil},
		{"anonymous, nobody restricted", unrestricted, none, []string{"/v1/services/sleep/jobs", "SleepInput"}, nil},
		{"anonymous, somebody restricted", f, none, []string{"/v1/jobs", "/v1/services"}, []string{"/v1/services/sleep/jobs", "maths", "SleepInput", "Operands", "Submit."}},
		{"all services", f, alice, []string{"/v1/services/sleep/jobs", "/v1/services/maths.add/jobs", "SleepInput"}, nil},
		{"one service", f, bob, []string{"/v1/services/maths.add/jobs", "Operands"}, []string{"/v1/services/sleep/jobs", "maths.mul", "SleepInput", "Submit.sleep"}},
		{"one service, signed in", f, bobSession, []string{"/v1/services/maths.add/jobs"}, []string{"/v1/services/sleep/jobs", "SleepInput"}},
	} {
		for range 2 { // the second time as kept
			for _, path := range []string{"/openapi.json", "/docs"} {
				got := test.f.do(t, "GET", path, "", test.header)
				if got.StatusCode != 200 || !strings.Contains(got.Header.Get("Vary"), "Authorization") {
					t.Errorf("%s: %s: %s %v", test.name, path, got.Status, got.Header)
				}
				for _, want := range test.shows {
					if !strings.Contains(got.body, want) {
						t.Errorf("%s: %s has no %s", test.name, path, want)
					}
				}
				for _, secret := range test.hides {
					if strings.Contains(got.body, secret) {
						t.Errorf("%s: %s has %s", test.name, path, secret)
					}
				}
			}
		}
	}
	if got := f.do(t, "GET", "/openapi.json", "", "Authorization: Bearer ck_wrong"); got.StatusCode != 401 || got.Header.Get("WWW-Authenticate") != auth.Challenge {
		t.Errorf("a wrong key: %s", got.Status)
	}
}
