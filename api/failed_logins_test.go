package api_test

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"coatcheck/api"
	"coatcheck/api/auth"
	"coatcheck/jobs/jobstest"
)

// behindProxy makes the test's own address a proxy, so that a test can be
// called from many addresses.
func behindProxy(c *api.Config) {
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

func basic(name, password string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+password))
}

func from(ip string) string { return "X-Forwarded-For: " + ip }

// fastHash returns a hash of a password that is quick to check.
func fastHash(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// withPasswords are alice, bob and carol with the password "secret", and an API key of
// alice's.
func withPasswords(t testing.TB) (c auth.Credentials, key string) {
	t.Helper()
	hash := fastHash(t, "secret")
	key, keyHash, err := auth.NewAPIKey()
	if err != nil {
		t.Fatal(err)
	}
	return auth.Credentials{Users: map[string]string{"alice": hash, "bob": hash, "carol": hash}, APIKeys: map[string][]string{"alice": {keyHash}}}, key
}

// Invented names from one address, or from many, lock out nobody.
func TestUnknownNamesLockNoUserOut(t *testing.T) {
	t.Parallel()
	credentials, key := withPasswords(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: behindProxy})
	if got := f.do(t, "GET", "/v1/jobs", "", basic("alice", "secret"), from("192.0.2.1")); got.StatusCode != 200 {
		t.Fatal(got.Status)
	}
	var wg sync.WaitGroup
	codes := make([]int, 60)
	for i := range codes {
		wg.Go(func() {
			address := "198.51.100.7"
			if i%2 == 0 {
				address = fmt.Sprintf("2001:db8:%x::1", i)
			}
			codes[i] = f.do(t, "GET", "/v1/jobs", "", basic(fmt.Sprintf("name%d", i), "wrong"), from(address)).StatusCode
		})
	}
	if got := f.do(t, "GET", "/v1/jobs", "", basic("bob", "secret"), from("192.0.2.2")); got.StatusCode != 200 {
		t.Errorf("bob's right password beside them: %s", got.Status)
	}
	wg.Wait()
	limited := 0
	for i, code := range codes {
		switch {
		case i%2 == 0 && code != 401:
			t.Errorf("address %d: %d", i, code)
		case i%2 != 0 && code == 429:
			limited++
		}
	}
	if limited < 20 {
		t.Errorf("of 30 failures from one address only %d were refused", limited)
	}
	// Keys and verified logins go on, even from that address.
	for _, credential := range []string{"Authorization: Bearer " + key, basic("alice", "secret")} {
		if got := f.do(t, "GET", "/v1/jobs", "", credential, from("198.51.100.7")); got.StatusCode != 200 {
			t.Errorf("%.20s: %s", credential, got.Status)
		}
	}
	// So does the right password of a user there who has not signed in yet.
	if got := f.do(t, "GET", "/v1/jobs", "", basic("carol", "secret"), from("198.51.100.7")); got.StatusCode != 200 {
		t.Errorf("carol's right password from that address: %s", got.Status)
	}
	// Wrong ones do not: of many at once, few are looked at, however slow that is.
	var refused atomic.Int32
	for i := range 30 {
		wg.Go(func() {
			if f.do(t, "GET", "/v1/jobs", "", basic("carol", fmt.Sprint("wrong", i)), from("198.51.100.7")).StatusCode == 429 {
				refused.Add(1)
			}
		})
	}
	wg.Wait()
	if n := refused.Load(); n < 15 {
		t.Errorf("of 30 wrong ones only %d were refused", n)
	}
	// Another address of an IPv6 network is the same client.
	for i := range 11 {
		got := f.do(t, "GET", "/v1/jobs", "", basic("alice", fmt.Sprint("wrong", i)), from(fmt.Sprintf("2001:db8:ffff::%x", i+1)))
		if want := map[bool]int{true: 401, false: 429}[i < 10]; got.StatusCode != want {
			t.Errorf("guess %d from an IPv6 /64: %s, want %d", i, got.Status, want)
		}
	}
}

// Operators see who tries passwords, without a flood of lines and without secrets.
func TestFailedLoginsAreLogged(t *testing.T) {
	credentials, key := withPasswords(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: behindProxy})
	alice := "Authorization: Bearer " + key
	f.until(t, "/metrics", "coatcheck_logins_failed_total 0", alice)
	for _, c := range []string{basic("mallory\x1b[2J\n"+strings.Repeat("x", 200), "wrong"), basic("alice", "wrong"), "Authorization: Bearer ck_wrong"} {
		f.do(t, "GET", "/v1/jobs", "", c, from("203.0.113.9"))
	}
	f.do(t, "GET", "/v1/jobs", "", basic(key, ""), from("203.0.113.10"))
	f.post(t, "/login", map[string][]string{"name": {"bob"}, "password": {"wrong"}}, from("203.0.113.11"))
	f.do(t, "GET", "/v1/jobs", "", from("203.0.113.12"))                         // no credentials: no attempt
	f.do(t, "GET", "/v1/jobs", "", basic("bob", "secret"), from("203.0.113.13")) // right
	f.until(t, "/metrics", "coatcheck_logins_failed_total 5", alice)
	var lines []string
	for line := range strings.Lines(f.log.String()) {
		if strings.Contains(line, `msg="failed login"`) {
			lines = append(lines, line)
		}
	}
	if len(lines) != 3 {
		t.Fatalf("got %d lines, want one for each address: %q", len(lines), lines)
	}
	for i, want := range []string{"client=203.0.113.9 ", "client=203.0.113.10 ", "name=bob client=203.0.113.11 "} {
		if !strings.Contains(lines[i], want) || !strings.Contains(lines[i], "level=WARN") {
			t.Errorf("%q has no %q", lines[i], want)
		}
	}
	if len(lines[0]) > 400 || strings.Contains(lines[0], "\x1b") || !strings.Contains(lines[0], "mallory") || strings.Contains(lines[1], key[:8]) {
		t.Errorf("%q", lines)
	}
	if !strings.Contains(f.log.String(), "client=203.0.113.13") {
		t.Error("request lines have no client")
	}
}

// Tokens stay out of the log and of problems wherever they stand in a path.
func TestTokensAreRedactedFromPaths(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "maths.add", `{"input": {"a": 1, "b": 2}}`)
	token := path(job.StatusURL)[len("/v1/jobs/"):]
	secret := token[strings.Index(token, ".")+1:]
	for _, p := range []string{
		"/v1/jobs/%20" + token, "/v1/jobs/%3C" + token, "/v1/jobs/" + strings.ToUpper(token), "/v1/jobs/x" + token + "%3E", "/v1/jobs/" + strings.Replace(token, ".", "%252e", 1),
		"/v1/jobs/" + strings.Replace(token, "_", "%255F", 1), "/v1/jobs/" + token[1:], "/nothing/" + token + "/x", "/" + strings.Replace(token, ".", "%252E", 1), "/x/" + strings.Replace(token, ".", "%20.", 1),
		"/jobs/(" + token + ")", "/tasks/%22" + token, "//" + token,
	} {
		got := f.do(t, "GET", p, "")
		if text := strings.ToLower(got.body); got.StatusCode == 200 || strings.Contains(text, secret) {
			t.Errorf("%s: %s %s", p, got.Status, got.body)
		}
	}
	if strings.Contains(strings.ToLower(f.log.String()), secret) {
		t.Errorf("logged: %s", f.log)
	}
}
