package api_test

import (
	"html"
	"strings"
	"testing"

	"coatcheck/api"
	"coatcheck/jobs/jobstest"
)

// Each user sees their own account; only admins see the configuration, and nobody sees a hash.
func TestPageSettings(t *testing.T) {
	credentials, keys := withPassword(t)
	credentials.Services = map[string][]string{"alice": {"sleep", "maths.add"}, "bob": {}}
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) {
		c.Settings = func() []api.Setting {
			return []api.Setting{{Name: "retain", Value: "48h", Source: "config.yaml", Help: "how long"}, {Name: "<addr>", Value: "127.0.0.1:5000"}}
		}
	}})
	cookie := f.signIn(t, "alice", "correct horse")
	const configuration, defaults = `<td class="mono id" data-label="Value">48h</td><td class="id" data-label="Source">config.yaml</td>`, "&lt;addr&gt;"
	for _, c := range []struct {
		who, header string
		has, hasNot []string
	}{
		{
			"alice", cookie,
			[]string{"user: sees only their own jobs", "<dd>sleep, maths.add</dd>", "<dt>Password</dt><dd>set</dd>", "<dt>API keys</dt><dd>1</dd>", "<dt>Session ends</dt><dd><time"},
			[]string{configuration, defaults, "<dt>Go</dt>"},
		},
		{
			"bob", "Authorization: Bearer " + keys["bob"],
			[]string{"<dt>Allowed services</dt><dd>none</dd>", "<dt>Password</dt><dd>none</dd>", "<dt>API keys</dt><dd>1</dd>"},
			[]string{configuration, defaults, "<dt>Go</dt>", "Session ends", "alice"},
		},
		{
			"root", "Authorization: Bearer " + keys["root"],
			[]string{"admin: sees the jobs of all users", "<dt>Allowed services</dt><dd>all</dd>", configuration, defaults, "<dt>Go</dt>"},
			[]string{"Session ends"},
		},
	} {
		a := f.do(t, "GET", "/settings", "", c.header)
		if a.StatusCode != 200 {
			t.Fatalf("%s: %s", c.who, a.Status)
		}
		for _, want := range c.has {
			if !strings.Contains(a.body, want) {
				t.Errorf("%s: no %q in %s", c.who, want, a.body)
			}
		}
		for _, other := range c.hasNot {
			if strings.Contains(a.body, other) {
				t.Errorf("%s sees %q", c.who, other)
			}
		}
		for name, hashes := range credentials.APIKeys {
			if text := html.UnescapeString(a.body); strings.Contains(text, strings.TrimPrefix(hashes[0], "sha256:")) || strings.Contains(text, keys[name]) || strings.Contains(text, credentials.Users["alice"]) {
				t.Errorf("%s sees a secret of %s", c.who, name)
			}
		}
	}
	if a := f.do(t, "GET", "/settings", ""); a.StatusCode != 303 {
		t.Errorf("without credentials: %s", a.Status)
	}
}
