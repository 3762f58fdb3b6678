package api_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/api/auth"
	"coatcheck/jobs"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

const formType = "Content-Type: application/x-www-form-urlencoded"

// post sends a form.
func (f *fixture) post(t testing.TB, path string, form url.Values, headers ...string) answer {
	t.Helper()
	return f.do(t, http.MethodPost, path, form.Encode(), append([]string{formType}, headers...)...)
}

// signIn returns the Cookie header of a browser that has signed in.
func (f *fixture) signIn(t testing.TB, name, password string) string {
	t.Helper()
	a := f.post(t, "/login", url.Values{"name": {name}, "password": {password}})
	if a.StatusCode != http.StatusSeeOther || len(a.Cookies()) != 1 {
		t.Fatalf("sign in: %s %s", a.Status, a.body)
	}
	return "Cookie: " + a.Cookies()[0].Name + "=" + a.Cookies()[0].Value
}

func withPassword(t testing.TB) (auth.Credentials, map[string]string) {
	t.Helper()
	c, keys := aliceAndBob(t)
	hash := fastHash(t, "correct horse")
	c.Users = map[string]string{"alice": hash}
	return c, keys
}

// Who is not signed in is asked to, and then led to where they wanted to go.
func TestPageSignIn(t *testing.T) {
	credentials, keys := withPassword(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	a := f.do(t, "GET", "/jobs?tag=a%26b", "")
	if want := "/login?next=%2Fjobs%3Ftag%3Da%2526b"; a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != want {
		t.Fatalf("%s to %s, want %s", a.Status, a.Header.Get("Location"), want)
	}
	if a = f.do(t, "GET", a.Header.Get("Location"), ""); a.StatusCode != 200 || !strings.Contains(a.body, `value="/jobs?tag=a%26b"`) {
		t.Errorf("%s %s", a.Status, a.body)
	}
	a = f.post(t, "/login", url.Values{"name": {"alice"}, "password": {"wrong"}, "next": {"/jobs"}})
	if a.StatusCode != http.StatusUnauthorized || !strings.Contains(a.body, "Incorrect name, password or API key") || !strings.Contains(a.body, `value="alice"`) || strings.Contains(a.body, `value="wrong"`) || a.Header.Get("Www-Authenticate") != "" || len(a.Cookies()) != 0 {
		t.Errorf("wrong password: %s %v %s", a.Status, a.Header, a.body)
	}
	planted := "Cookie: coatcheck_session=planted"
	a = f.post(t, "/login", url.Values{"name": {"alice"}, "password": {"correct horse"}, "next": {"/jobs"}}, planted)
	if a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/jobs" {
		t.Fatalf("%s %v", a.Status, a.Header)
	}
	c := a.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Value == "planted" || len(c.Value) < 26 || time.Until(c.Expires) > auth.SessionLifetime {
		t.Errorf("cookie %v", c)
	}
	cookie := "Cookie: " + c.Name + "=" + c.Value
	if a := f.do(t, "GET", "/jobs", "", cookie); a.StatusCode != 200 || !strings.Contains(a.body, "Sign out") || !strings.Contains(a.body, "alice") {
		t.Errorf("%s %s", a.Status, a.body)
	}
	if a := f.do(t, "GET", "/v1/jobs", "", cookie); a.StatusCode != 200 {
		t.Errorf("the API with a session: %s", a.Status)
	}
	if a := f.do(t, "GET", "/jobs", "", "Authorization: Bearer "+keys["alice"]); a.StatusCode != 200 || strings.Contains(a.body, "Sign out") {
		t.Errorf("a program's credentials: %s", a.Status)
	}
	if a := f.do(t, "GET", "/jobs", "", "Authorization: Basic YWxpY2U6Y29ycmVjdCBob3JzZQ=="); a.StatusCode != 200 {
		t.Errorf("HTTP Basic: %s", a.Status)
	}
	if a = f.post(t, "/logout", nil, cookie); a.StatusCode != http.StatusSeeOther || a.Cookies()[0].MaxAge >= 0 {
		t.Errorf("sign out: %s %v", a.Status, a.Cookies())
	}
	if a := f.do(t, "GET", "/v1/jobs", "", cookie); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("after signing out: %s", a.Status)
	}
	if log := f.log.String(); strings.Contains(log, c.Value) || strings.Contains(log, "correct horse") {
		t.Error("the log has a secret")
	}
	// An API key does for those who have no password.
	f.signIn(t, "bob", keys["bob"])
	if a := f.post(t, "/login", url.Values{"name": {"alice"}, "password": {keys["bob"]}}); a.StatusCode != http.StatusUnauthorized {
		t.Errorf("somebody else's key: %s", a.Status)
	}
}

// Nobody is led away from the site.
func TestPageNext(t *testing.T) {
	credentials, keys := withPassword(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	for next, want := range map[string]string{
		"/jobs?q=1": "/jobs?q=1", "": "/", "https://evil.example/": "/", "//evil.example/": "/", `/\evil.example`: "/", "javascript:alert(1)": "/",
		"https://evil.example/jobs": "/jobs", "/%2F/evil.example": "/", "evil": "/",
	} {
		a := f.post(t, "/login", url.Values{"name": {"bob"}, "password": {keys["bob"]}, "next": {next}})
		if got := a.Header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// A session ends when what was signed in with is no longer right.
func TestPagePasswordChanged(t *testing.T) {
	db := jobstest.SQLite(t)
	credentials, _ := withPassword(t)
	f := newFixture(t, db, options{credentials: credentials})
	cookie := f.signIn(t, "alice", "correct horse")
	hash := fastHash(t, "another")
	credentials.Users = map[string]string{"alice": hash}
	authenticator, err := auth.New(credentials)
	if err != nil {
		t.Fatal(err)
	}
	f.api.Auth = authenticator // as after a restart with the new configuration
	if a := f.do(t, "GET", "/jobs", "", cookie); a.StatusCode != http.StatusSeeOther {
		t.Errorf("with the old password's session: %s", a.Status)
	}
}

// Over TLS the cookie can't be set by others, nor go without TLS.
func TestPageCookieOverTLS(t *testing.T) {
	credentials, keys := withPassword(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials, api: func(c *api.Config) { c.PublicURL = "https://jobs.example" }})
	a := f.post(t, "/login", url.Values{"name": {"bob"}, "password": {keys["bob"]}})
	if c := a.Cookies()[0]; c.Name != "__Host-coatcheck_session" || !c.Secure || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %v", c)
	}
}

// A form of another site changes nothing, whatever it is.
func TestPageCrossOrigin(t *testing.T) {
	credentials, keys := withPassword(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	cookie := f.signIn(t, "alice", "correct horse")
	job := f.submit(t, "hold", `{"input": {}}`, "Authorization: Bearer "+keys["alice"])
	for _, path := range []string{
		"/services/sleep", "/jobs", "/jobs/" + job.ID + "/cancel", "/jobs/" + job.ID + "/retry", "/deliveries", "/deliveries/x/redeliver",
		"/receiver", "/receiver/new", "/receiver/test", "/receiver/check", "/login", "/logout", "/v1/jobs/" + job.ID + "/cancel",
	} {
		for _, header := range []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"} {
			if a := f.post(t, path, nil, cookie, header); a.StatusCode != http.StatusForbidden {
				t.Errorf("%s with %s: %s", path, header, a.Status)
			}
		}
	}
	if job, err := f.queue.Get(t.Context(), job.ID); err != nil || job.CancelRequested {
		t.Errorf("%+v, %v", job, err)
	}
	if a := f.do(t, "GET", "/v1/jobs", "", "Sec-Fetch-Dest: empty"); a.StatusCode != http.StatusUnauthorized || strings.Contains(a.Header.Get("Www-Authenticate"), "Basic") {
		t.Errorf("a script is asked for a password: %s %v", a.Status, a.Header)
	}
}

// A user sees and changes only their own jobs; a link shows one job and no
// more.
func TestPageAccess(t *testing.T) {
	credentials, keys := withPassword(t)
	f := newFixture(t, jobstest.SQLite(t), options{credentials: credentials})
	alice, bob, root := f.signIn(t, "alice", "correct horse"), f.signIn(t, "bob", keys["bob"]), f.signIn(t, "root", keys["root"])
	job := f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}, "metadata": {"secret": "of alice"}}`, "Authorization: Bearer "+keys["alice"], "Prefer: wait=20")
	for cookie, want := range map[string]int{alice: 200, bob: 404, root: 200} {
		for _, path := range []string{"/jobs/" + job.ID, "/services/maths.add?from=" + job.ID} {
			if a := f.do(t, "GET", path, "", cookie); a.StatusCode != want {
				t.Errorf("%s: %s, want %d", path, a.Status, want)
			}
		}
		if a := f.do(t, "GET", "/jobs", "", cookie); strings.Contains(a.body, job.ID) != (want == 200) {
			t.Errorf("the list: %s", a.body)
		}
	}
	if a := f.post(t, "/jobs/"+job.ID+"/retry", nil, bob); a.StatusCode != http.StatusNotFound {
		t.Errorf("bob retries: %s", a.Status)
	}
	link := strings.TrimPrefix(job.WebURL, f.URL)
	if a := f.do(t, "GET", link, "", alice); a.StatusCode != http.StatusSeeOther || a.Header.Get("Location") != "/jobs/"+job.ID {
		t.Errorf("her own link: %s %v", a.Status, a.Header)
	}
	for _, headers := range [][]string{nil, {bob}} {
		a := f.do(t, "GET", link, "", headers...)
		if a.StatusCode != 200 || !strings.Contains(a.body, "<code>7</code>") || strings.Contains(a.body, `action="/jobs`) || strings.Contains(a.body, ">Input<") {
			t.Errorf("a link: %s %s", a.Status, a.body)
		}
		title := regexp.MustCompile(`<title>.*</title>`).FindString(a.body)
		if a.Header.Get("Referrer-Policy") != "no-referrer" || strings.Contains(title, "job_") {
			t.Errorf("%v, %s", a.Header, title)
		}
	}
	if a := f.do(t, "GET", link+"x", ""); a.StatusCode != http.StatusNotFound {
		t.Errorf("a wrong link: %s", a.Status)
	}
	if strings.Contains(f.log.String(), string(job.Token)) {
		t.Error("the log has the token")
	}
}

// What is wrong stands at its field, in the API's words, and what was typed
// stays.
func TestPageForm(t *testing.T) {
	t.Parallel()
	f := newFixture(t, jobstest.SQLite(t), options{})
	tests := []struct {
		name string
		form url.Values
		want []string // in the answer; a job when there are none
	}{
		{"right", url.Values{"input.seconds": {"0"}, "input.name": {"Ada"}}, nil},
		{"below the minimum", url.Values{"input.seconds": {"-1"}}, []string{`id="input-seconds-help"><div class="error">expected at least 0</div>`, `value="-1"`}},
		{"no number", url.Values{"input.seconds": {"soon"}, "input.name": {`<"Ada">`}}, []string{`<div class="error">expected a number, not a text</div>`, `value="soon"`, `value="&lt;&#34;Ada&#34;&gt;"`}},
		{"missing", url.Values{"input.seconds": {""}}, []string{`id="input-seconds-help"><div class="error">this is required</div>`}},
		{"all at once", url.Values{"input.seconds": {"9999"}, "input.name": {strings.Repeat("x", 101)}, "delay": {"soon"}, "callback_url": {"http://localhost/"}}, []string{
			"expected at most 3600", "expected at most 100 characters, not ", `id="option-delay-help"><div class="error">expected a duration`, `id="option-callback_url-help"><div class="error">expected https`, `<details class="options" open>`,
		}},
		{"options", url.Values{"input.seconds": {"0"}, "tags": {"web, test,"}, "priority": {"1"}, "max_attempts": {"2"}, "timeout": {"10s"}}, nil},
		{"JSON", url.Values{"as": {"json"}, "body": {`{"input": {"seconds": 0}, "tags": ["web"]}`}}, nil},
		{"bad JSON", url.Values{"as": {"json"}, "body": {`{"input": `}}, []string{"the body is not valid JSON: unexpected end", `{"input": </textarea>`}},
		{"wrong JSON", url.Values{"as": {"json"}, "body": {`{"input": {"secs": 1}}`}}, []string{"body.input.seconds: this is required", "body.input.secs: unexpected property"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := f.post(t, "/services/sleep", tt.form)
			if tt.want == nil {
				if a.StatusCode != http.StatusSeeOther || !strings.HasPrefix(a.Header.Get("Location"), "/jobs/job_") {
					t.Fatalf("%s %s", a.Status, a.body)
				}
				return
			}
			if a.StatusCode/100 != 4 {
				t.Errorf("got %s", a.Status)
			}
			body := strings.ReplaceAll(a.body, "&gt;=", ">=")
			for _, want := range tt.want {
				if !strings.Contains(body, want) && !strings.Contains(html.UnescapeString(body), want) {
					t.Errorf("no %s in %s", want, a.body)
				}
			}
		})
	}
	key := url.Values{"input.seconds": {"0"}, "key": {"ABC"}}
	first, second := f.post(t, "/services/sleep", key), f.post(t, "/services/sleep", key)
	if first.Header.Get("Location") != second.Header.Get("Location") {
		t.Error("a form that was sent twice made two jobs")
	}
	key.Set("input.seconds", "0.1")
	if third := f.post(t, "/services/sleep", key); third.StatusCode != http.StatusSeeOther || third.Header.Get("Location") == first.Header.Get("Location") {
		t.Errorf("a form that was changed: %s", third.Status)
	}
	if a := f.post(t, "/services/nothing", key); a.StatusCode != http.StatusNotFound {
		t.Errorf("no such service: %s", a.Status)
	}
	if a := f.post(t, "/services/sleep", url.Values{"input.name": {strings.Repeat("x", 1<<20)}}); a.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge form: %s", a.Status)
	}
}

type formInput struct {
	Color  string   `json:"color" enum:"red,green" doc:"Of the car."`
	Doors  int      `json:"doors,omitempty" minimum:"2" example:"5"`
	Roof   bool     `json:"roof,omitempty"`
	Note   string   `json:"note,omitempty" maxLength:"500"`
	Link   string   `json:"link,omitempty" format:"uri"`
	Extras []string `json:"extras,omitempty" maxItems:"1"`
}

// addBuild adds a service whose input has a field of each type.
func addBuild(r *jobs.Registry) {
	jobs.Add(r, jobs.Service{Name: "build", Summary: "Build a car."}, func(_ context.Context, in formInput) (formInput, error) { return in, nil })
}

// A form has the right field for each type, and gives it back in JSON.
func TestPageFields(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{services: addBuild})
	a := f.do(t, "GET", "/services/build", "")
	for _, want := range []string{
		`<select id="input-color"`, `<option>green</option>`, `id="input-doors" name="input.doors" type="number"`, `step="1"`, `<select id="input-roof"`, `<textarea id="input-note"`, `id="input-link" name="input.link" type="url"`, `<input id="input-extras[0]" name="input.extras[0]"`, "At most 1 item.",
	} {
		if !strings.Contains(a.body, want) {
			t.Errorf("no %s in %s", want, a.body)
		}
	}
	form := url.Values{"input.color": {"green"}, "input.doors": {"5"}, "input.roof": {"true"}, "input.note": {"two\r\nlines"}, "input.link": {"https://example.com/"}, "input.extras[0]": {"radio"}}
	a = f.post(t, "/services/build", form)
	if a.StatusCode != http.StatusSeeOther {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	job := f.do(t, "GET", "/v1"+a.Header.Get("Location")+"?wait=20", "").job(t)
	if want := `{"color":"green","doors":5,"roof":true,"note":"two\nlines","link":"https://example.com/","extras":["radio"]}`; string(job.Output) != want {
		t.Errorf("got %s, want %s", job.Output, want)
	}
	again := f.do(t, "GET", "/services/build?from="+job.ID, "")
	for _, want := range []string{`<option selected>green</option>`, `value="5"`, `<option selected>true</option>`, "two\nlines</textarea>", `value="radio"`} {
		if !strings.Contains(again.body, want) {
			t.Errorf("again: no %s in %s", want, again.body)
		}
	}
	form.Set("input.extras[7]", "heater")
	if a := f.post(t, "/services/build", form); !strings.Contains(a.body, `id="input-extras-help"><div class="error">expected at most 1 item, not `) || !strings.Contains(a.body, `name="input.extras[1]" type="text" value="heater"`) {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

// A problem is a page that says what to do, also when the database is away.
func TestPageProblems(t *testing.T) {
	db := jobstest.SQLite(t)
	f := newFixture(t, db, options{})
	for path, want := range map[string]string{
		"/jobs/job_nope": "there is no such job", "/jobs/job_nope.nope": "the job&#39;s token is not valid", "/deliveries/msg_nope": "there is no such delivery", "/services/nope": "there is no such service",
		"/jobs?status=nope": "expected one of scheduled", "/jobs?since=nope": "expected a duration", "/jobs?cursor=nope": "expected the next_cursor", "/deliveries?status=nope": "expected pending", "/jobs?do=explode": "expected cancel or retry", "/?range=year": "expected one of hour, day, week",
	} {
		if a := f.do(t, "GET", path, ""); a.StatusCode/100 != 4 || !strings.Contains(a.body, want) || !strings.Contains(a.Header.Get("Content-Type"), "text/html") {
			t.Errorf("%s: %s %s", path, a.Status, a.body)
		}
	}
	if _, err := db.Write.ExecContext(t.Context(), `ALTER TABLE jobs RENAME TO elsewhere`); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/jobs?status=failed", "/system", "/?range=day"} {
		a := f.do(t, "GET", path, "")
		if a.StatusCode != 500 || !strings.Contains(a.body, "The page could not be loaded") || !strings.Contains(a.body, `href="`+path+`">Try again`) || strings.Contains(a.body, "no such table") {
			t.Errorf("%s: %s %s", path, a.Status, a.body)
		}
	}
	if _, err := db.Write.ExecContext(t.Context(), `ALTER TABLE elsewhere RENAME TO jobs`); err != nil {
		t.Fatal(err)
	}
}

// The first page that a cold server draws is soon there.
func TestPageFirstPaint(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{})
	job := f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}}`, "Prefer: wait=20")
	best := time.Hour
	begin := time.Now()
	if a := f.do(t, "GET", "/jobs/"+job.ID, ""); a.StatusCode != 200 {
		t.Fatal(a.Status)
	}
	cold := time.Since(begin)
	for range 20 { // the best of some, because others use the machine too
		begin := time.Now()
		f.do(t, "GET", "/jobs/"+job.ID, "")
		best = min(best, time.Since(begin))
	}
	t.Logf("cold %v, warm %v", cold, best)
	if best > 100*time.Millisecond {
		t.Errorf("the page takes %v", best)
	}
}

// A user who sends many failed callbacks again is told how many before.
func TestPageRedeliver(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db, options{})
		f.post(t, "/receiver/new", nil)
		f.post(t, "/receiver", url.Values{"answer": {"gone"}, "damage": {"none"}})
		receiver := regexp.MustCompile(`https://[0-9a-z]+\.receiver\.invalid/`).FindString(f.do(t, "GET", "/receiver", "").body)
		job := f.submit(t, "maths.add", `{"input": {"a": 3, "b": 4}, "callback_url": "`+receiver+`"}`)
		until := func(path, want string) string {
			t.Helper()
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				a := f.do(t, "GET", path, "")
				if strings.Contains(a.body, want) {
					return a.body
				}
				if time.Now().After(deadline) {
					t.Fatalf("no %s in %s", want, a.body)
				}
			}
		}
		until("/jobs/"+job.ID, `badge failed">failed`)
		confirm := until("/deliveries?status=failed&do=redeliver", "Redeliver 1 failed callback?")
		f.post(t, "/receiver", url.Values{"answer": {"ok"}, "damage": {"none"}})
		if a := f.post(t, "/deliveries", hidden(confirm)); a.Header.Get("Location") != "/deliveries?did=redeliver&n=1" {
			t.Errorf("%s %v", a.Status, a.Header)
		}
		id := regexp.MustCompile(`/deliveries/msg_[0-9a-z]+`).FindString(until("/deliveries", `badge delivered`))
		page := html.UnescapeString(until(id, "Attempt 2"))
		for _, want := range []string{"POST / HTTP/1.1\nHost: ", "Webhook-Signature: v1,", " v1a,", `"type":"job.succeeded"`, "HTTP/1.1 410 Gone", "told to be gone", "HTTP/1.1 200 OK"} {
			if !strings.Contains(page, want) {
				t.Errorf("no %s in %s", want, page)
			}
		}
		body := until("/receiver", "duplicate")
		if !strings.Contains(body, "signature valid") || strings.Contains(body, "signature invalid") {
			t.Errorf("the receiver: %s", body)
		}
		if a := f.post(t, "/receiver/check", url.Values{"secret": {"whsec_nonsense"}}); !strings.Contains(a.body, "With your key:") {
			t.Errorf("checked: %s", a.body)
		}
		system := f.do(t, "GET", "/system", "").body
		for _, want := range []string{"maths.add", "succeeded\">OK<", map[bool]string{true: "PostgreSQL", false: "SQLite"}[db.Postgres()], "1 succeeded", "Queued"} {
			if !strings.Contains(system, want) {
				t.Errorf("no %s in %s", want, system)
			}
		}
	})
}
