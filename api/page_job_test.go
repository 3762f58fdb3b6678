package api_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/store"
)

// facts returns the details on the page of a job.
func facts(html string) map[string]string {
	found := make(map[string]string)
	tags := regexp.MustCompile(`<[^>]*>`)
	for _, m := range regexp.MustCompile(`<dt>(.*?)</dt><dd>(.*?)</dd>`).FindAllStringSubmatch(html, -1) {
		found[m[1]] = tags.ReplaceAllString(m[2], "")
	}
	return found
}

// The page of a job has all that the submitter chose, where it ran and when it goes, and what its actions do.
// A viewer with a token sees neither its worker nor where its callbacks go.
func TestPageJobDetails(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		credentials, keys := aliceAndBob(t)
		f := newFixture(t, db, options{credentials: credentials})
		alice := "Authorization: Bearer " + keys["alice"]
		const target = "https://client.example/hooks?key=k"
		late := f.submit(t, "maths.add", `{"input": {"a": 1, "b": 2}, "delay": "1h", "start_within": "2h", "timeout": "90s", "retain": "72h", "callback_url": "`+target+`"}`, alice)
		page := f.do(t, "GET", "/jobs/"+late.ID, "", alice)
		got := facts(page.body)
		for name, want := range map[string]string{"Timeout": "90 s per attempt", "Callback URL": target, "Removed": "3 days after its end", "Attempt": "0 of 3"} {
			if got[name] != want {
				t.Errorf("%s: got %q, want %q in %v", name, got[name], want, got)
			}
		}
		if got["Created"] == "" || got["Expires"] == "" || got["Worker"] != "" || strings.Contains(page.body, "Retry submits") {
			t.Errorf("before its start: %v", got)
		}
		if shared := facts(f.do(t, "GET", late.WebURL, "").body); shared["Timeout"] == "" || shared["Callback URL"] != "" {
			t.Errorf("with a token: %v", shared)
		}
		done := f.do(t, "POST", "/v1/services/maths.add/jobs", `{"input": {"a": 1, "b": 2}}`, alice, wait[0]).job(t)
		page = f.do(t, "GET", "/jobs/"+done.ID, "", alice)
		got = facts(page.body)
		if got["Removed at"] == "" || got["Removed"] != "" || !strings.HasSuffix(got["Worker"], " on "+host) {
			t.Errorf("after its end: %v", got)
		}
		if !strings.Contains(page.body, "Retry submits a new job with the same input and options.") {
			t.Error("the page does not explain its actions")
		}
		if shared := facts(f.do(t, "GET", done.WebURL, "").body); shared["Removed at"] == "" || shared["Worker"] != "" {
			t.Errorf("with a token, after its end: %v", shared)
		}
	})
}

// The files of an input are listed with the ids that stand for them, for the owner only.
func TestPageJobFiles(t *testing.T) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		o, _ := withUploads(t, inDir, files.Limits{File: 1000, Total: 10_000})
		credentials, keys := aliceAndBob(t)
		o.credentials = credentials
		alice := "Authorization: Bearer " + keys["alice"]
		f := newFixture(t, db, o)
		job := f.upload(t, []string{alice, wait[0]}, "file@<a>.txt=hello", "more@empty.bin=").job(t)
		if job.Status != jobs.Succeeded {
			t.Fatal(job.Status)
		}
		var input readInput
		if err := json.Unmarshal(f.do(t, "GET", "/v1/jobs/"+job.ID, "", alice).job(t).Input, &input); err != nil {
			t.Fatal(err)
		}
		page := f.do(t, "GET", "/jobs/"+job.ID, "", alice).body
		for _, want := range []string{
			"&lt;a&gt;.txt</a> <span class=\"soft\">text/plain; charset=utf-8, 5 B", "empty.bin</a> <span class=\"soft\">application/octet-stream, 0 B",
			`<div class="mono id">` + input.File, `<div class="mono id">` + input.More[0], "<h3>Files", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
			"Retry submits a new job with the same input, files and options.", "choose its files again",
		} {
			if !strings.Contains(page, want) {
				t.Errorf("no %s in %s", want, page)
			}
		}
		if shared := f.do(t, "GET", job.WebURL, "").body; !strings.Contains(shared, job.ID) || strings.Contains(shared, input.File) || strings.Contains(shared, "<h3>Files") {
			t.Error("a viewer with a token sees the files of the input")
		}
	})
}
