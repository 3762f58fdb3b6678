package api_test

import (
	"fmt"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"coatcheck/api"
	"coatcheck/jobs/jobstest"
)

// A server without users refuses what came through a proxy.
func TestProxyWithoutUsers(t *testing.T) {
	t.Parallel()
	headers := []string{
		"X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: a.example", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "X-Forwarded-Server: a", "Forwarded: for=192.0.2.1",
		"Via: 1.1 a", "X-Real-IP: 192.0.2.1",
	}
	credentials, keys := aliceAndBob(t)
	db := jobstest.SQLite(t)
	open := newFixture(t, db, options{api: func(c *api.Config) { behindProxy(c); c.Hosts = []string{"a.example"} }})
	for _, h := range headers {
		got := open.do(t, "GET", "/v1/jobs", "", h)
		if got.StatusCode != 403 || !strings.Contains(got.body, "add users") || !strings.Contains(got.body, "allow_proxy_without_users") {
			t.Errorf("%s: %s %s", h, got.Status, got.body)
		}
		if got := open.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":2}}`, h); got.StatusCode != 403 {
			t.Errorf("%s: submit: %s %s", h, got.Status, got.body)
		}
		for _, probe := range []string{"/healthz", "/readyz"} {
			if got := open.do(t, "GET", probe, "", h); got.StatusCode != 200 {
				t.Errorf("%s: %s: %s %s", h, probe, got.Status, got.body)
			}
		}
	}
	if got := open.do(t, "GET", "/v1/jobs", ""); got.StatusCode != 200 {
		t.Errorf("without a proxy: %s", got.Status)
	}
	allowing := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.AllowProxy = true }})
	closed := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	for _, h := range headers {
		if got := allowing.do(t, "GET", "/v1/jobs", "", h); got.StatusCode != 200 {
			t.Errorf("allowed, %s: %s", h, got.Status)
		}
		if got := closed.do(t, "GET", "/v1/jobs", "", h, "Authorization: Bearer "+keys["alice"]); got.StatusCode != 200 {
			t.Errorf("with users, %s: %s", h, got.Status)
		}
	}
}

// What a trusted proxy says of the scheme and the host counts, and only that.
func TestForwardedSchemeAndHost(t *testing.T) {
	credentials, keys := aliceAndBob(t)
	hosts := []string{"jobs.example.com"}
	trusting := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) { behindProxy(c); c.Hosts = hosts }})
	strict := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) { c.Hosts = hosts }})
	alice := "Authorization: Bearer " + keys["alice"]
	for _, test := range []struct {
		name    string
		f       *fixture
		headers []string
		want    string // what URLs begin with; "" for a refusal
	}{
		{"scheme", trusting, []string{"Host: jobs.example.com", "X-Forwarded-Proto: https"}, "https://jobs.example.com/"},
		{"scheme and host", trusting, []string{"X-Forwarded-Proto: https", "X-Forwarded-Host: jobs.example.com"}, "https://jobs.example.com/"},
		{"Forwarded", trusting, []string{`Forwarded: for="[2001:db8::1]:80";proto=https;host=jobs.example.com`}, "https://jobs.example.com/"},
		{"X-Forwarded before Forwarded", trusting, []string{"Host: jobs.example.com", "X-Forwarded-For: 192.0.2.1", `Forwarded: proto=https;host=evil.example`}, "http://jobs.example.com/"},
		{"claimed by the client of two proxies", trusting, []string{"Host: jobs.example.com", "X-Forwarded-For: 9.9.9.9, 192.0.2.1, 127.0.0.2", "X-Forwarded-Proto: http, https, http"}, "https://jobs.example.com/"},
		{"replaced by each proxy", trusting, []string{"Host: jobs.example.com", "X-Forwarded-For: 192.0.2.1, 127.0.0.2", "X-Forwarded-Proto: https"}, "https://jobs.example.com/"},
		{"unknown host", trusting, []string{"X-Forwarded-Host: evil.example"}, ""},
		{"nonsense", trusting, []string{"Host: jobs.example.com", "X-Forwarded-Proto: javascript"}, "http://jobs.example.com/"},
		{"not trusted", strict, []string{"Host: jobs.example.com", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"}, "http://jobs.example.com/"},
	} {
		got := test.f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input":{"a":1,"b":2}}`, append(test.headers, alice)...)
		if test.want == "" {
			if got.StatusCode != 421 {
				t.Errorf("%s: %s, want 421", test.name, got.Status)
			}
			continue
		}
		if job := got.job(t); !strings.HasPrefix(job.StatusURL, test.want) {
			t.Errorf("%s: %s, want %s", test.name, job.StatusURL, test.want)
		}
		secure := strings.HasPrefix(test.want, "https")
		if hsts := got.Header.Get("Strict-Transport-Security"); (hsts == "max-age=31536000") != secure {
			t.Errorf("%s: Strict-Transport-Security: %q", test.name, hsts)
		}
		login := test.f.post(t, "/login", map[string][]string{"name": {"alice"}, "password": {keys["alice"]}}, append(test.headers, "Origin: "+strings.TrimSuffix(test.want, "/"))...)
		if len(login.Cookies()) != 1 || login.Cookies()[0].Secure != secure || strings.HasPrefix(login.Cookies()[0].Name, "__Host-") != secure {
			t.Errorf("%s: %s, cookies %v", test.name, login.Status, login.Cookies())
		}
	}
	if got := trusting.do(t, "GET", "/", "", "Host: [127.0.0.1"); got.StatusCode != 421 && got.StatusCode != 400 {
		t.Errorf("malformed host: %s", got.Status)
	}
}

// Over TLS, and with a public URL that says so, browsers are told to come back by TLS only.
func TestStrictTransportSecurity(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	secure := httptest.NewTLSServer(f.api)
	defer secure.Close()
	resp, err := secure.Client().Get(secure.URL + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	public := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.PublicURL = "https://jobs.example.com" }})
	const name = "Strict-Transport-Security"
	for what, got := range map[string]string{
		"over TLS": resp.Header.Get(name), "a problem": public.do(t, "GET", "/nothing", "").Header.Get(name), "public_url": public.do(t, "GET", "/healthz", "", "Host: jobs.example.com").Header.Get(name),
	} {
		if got != "max-age=31536000" {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := f.do(t, "GET", "/healthz", "").Header.Get(name); got != "" {
		t.Errorf("over http: %q", got)
	}
}

// Hosts that no URL can have are no names of the server.
func TestMalformedHosts(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{api: func(c *api.Config) { c.Hosts = []string{"jobs.test"} }})
	for _, host := range []string{"127.0.0.1]", "::1", "localhost:99999", "localhost:0", "localhost:", "jobs.test:x", "a@localhost", "jobs.test/x"} {
		if got := f.do(t, "GET", "/v1/jobs", "", "Host: "+host); got.StatusCode != 421 && got.StatusCode != 400 {
			t.Errorf("%s: %s", host, got.Status)
		}
	}
	for _, host := range []string{"127.0.0.1", "[::1]:5000", "localhost:65535", "JOBS.test", "jobs.test:80"} {
		if got := f.do(t, "GET", "/v1/jobs", "", "Host: "+host); got.StatusCode != 200 {
			t.Errorf("%s: %s", host, got.Status)
		}
	}
}

// The client's address is found in every form that proxies write it in.
func TestForwardedFor(t *testing.T) {
	credentials, _ := aliceAndBob(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")}
	}})
	for header, want := range map[string]string{
		"X-Forwarded-For: 7.7.7.7:4711":                    "7.7.7.7",
		"X-Forwarded-For: [2001:db8::7]:4711":              "2001:db8::7",
		"X-Forwarded-For: [2001:db8::7]":                   "2001:db8::7",
		"X-Forwarded-For: 2001:db8::7":                     "2001:db8::7",
		"X-Forwarded-For: 1.2.3.4, 7.7.7.7:1, 10.0.0.1:2":  "7.7.7.7",
		"X-Forwarded-For: ::ffff:7.7.7.7":                  "7.7.7.7",
		"X-Forwarded-For: 7.7.7.7, unknown, 10.0.0.1":      "10.0.0.1",
		"X-Forwarded-For: nonsense":                        "127.0.0.1",
		`Forwarded: for=7.7.7.7, for="[2001:db8::7]:4711"`: "2001:db8::7",
		"Forwarded: for=1.2.3.4;proto=http, for=10.0.0.1":  "1.2.3.4",
		"X-Forwarded-Proto: https":                         "127.0.0.1",
	} {
		f.log.Reset()
		f.do(t, "GET", "/v1/jobs", "", header)
		if got := f.log.String(); !strings.Contains(got, fmt.Sprintf(" client=%s\n", want)) {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
}
