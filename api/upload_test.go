package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"coatcheck/api"
	"coatcheck/jobs"
	"coatcheck/jobs/files"
	"coatcheck/jobs/jobstest"
	"coatcheck/jobs/queue"
	"coatcheck/jobs/store"
	"coatcheck/notify"
)

type readInput struct {
	File string   `json:"file" format:"binary" doc:"A file."`
	More []string `json:"more,omitempty" format:"binary"`
	Fail bool     `json:"fail,omitempty"`
}

type readOutput struct {
	Files []jobs.File `json:"files"`
	Texts []string    `json:"texts"`
}

// addRead adds a service that reads files.
func addRead(r *jobs.Registry) {
	addRender(r)
	jobs.Add(r, jobs.Service{Name: "echo.text"}, func(_ context.Context, in struct {
		Text string `json:"text"`
	},
	) (string, error) {
		return in.Text, nil
	})
	jobs.Add(r, jobs.Service{Name: "read", MaxAttempts: 1}, func(ctx context.Context, in readInput) (out readOutput, err error) {
		if in.Fail {
			return out, fmt.Errorf("no: %w", jobs.ErrPermanent)
		}
		for _, ref := range append([]string{in.File}, in.More...) {
			f, err := jobs.OpenFile(ctx, ref)
			if err != nil {
				return out, err
			}
			text, err := io.ReadAll(f)
			f.Close()
			if err != nil {
				return out, err
			}
			out.Files, out.Texts = append(out.Files, f.File), append(out.Texts, string(text))
		}
		return out, nil
	})
}

// withUploads is [withFiles] with the service read.
func withUploads(t *testing.T, kind storeKind, limits files.Limits) (options, *place) {
	t.Helper()
	o, place := withFiles(t, kind, limits)
	o.services = addRead
	return o, place
}

// formOf returns a multipart form and the header with its type. A part is NAME=TEXT, or NAME@FILE=TEXT for a file.
func formOf(t testing.TB, parts ...string) (body, header string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, part := range parts {
		name, text, _ := strings.Cut(part, "=")
		name, file, isFile := strings.Cut(name, "@")
		var err error
		if isFile {
			var to io.Writer
			if to, err = w.CreateFormFile(name, file); err == nil {
				_, err = io.WriteString(to, text)
			}
		} else {
			err = w.WriteField(name, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String(), "Content-Type: " + w.FormDataContentType()
}

// upload submits a form to the service read.
func (f *fixture) upload(t testing.TB, headers []string, parts ...string) answer {
	t.Helper()
	body, header := formOf(t, parts...)
	return f.do(t, "POST", "/v1/services/read/jobs", body, append(headers, header)...)
}

var wait = []string{"Prefer: wait=20"}

// A file comes with the submission: the service reads it, the owner sees what it is, and it lives as
// long as the job. A retry has a copy of its own.
func TestUpload(t *testing.T) { eachStore(t, testUpload) }

// testGetUpload checks that the owner of a job can fetch a file of its input.
func testGetUpload(t *testing.T, f *fixture, job *jobs.Job, id string) {
	t.Helper()
	url := job.Uploads[id].URL
	if a := f.do(t, "GET", url, ""); a.StatusCode != 200 || a.body != "hello" || a.Header.Get("Content-Disposition") != `inline; filename="a b.txt"` || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%s: %s %v %s", url, a.Status, a.Header, a.body)
	}
	if a := f.do(t, "GET", url, "", "Range: bytes=1-2"); a.StatusCode != 206 || a.body != "el" {
		t.Errorf("a part: %s %s", a.Status, a.body)
	}
	if a := f.do(t, "HEAD", url, ""); a.StatusCode != 200 || a.Header.Get("Content-Length") != "5" {
		t.Errorf("HEAD: %s %v", a.Status, a.Header)
	}
	for name, path := range map[string]string{
		"another id": job.StatusURL + "/uploads/upload_06h0ng0pt1r893pw40s24ftxcr", "another job": strings.Replace(url, job.ID, "job_06h0ng0pt1r893pw40s24ftxcr", 1), "a path": job.StatusURL + "/uploads/..%2f" + id,
	} {
		if a := f.do(t, "GET", path, ""); a.StatusCode != 404 || !strings.Contains(a.body, `"code":"not-found"`) {
			t.Errorf("%s: %s %s", name, a.Status, a.body)
		}
	}
}

func testUpload(t *testing.T, kind storeKind) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 10_000})
		f := newFixture(t, db, o)
		a := f.upload(t, wait, `input={}`, "file@../a b.txt=hello", "tags=x", "tags=y", "priority=3", "input.more@m.bin=", "metadata={\"k\": 1}")
		var out readOutput
		job := a.job(t)
		if err := json.Unmarshal(job.Output, &out); err != nil || job.Status != jobs.Succeeded {
			t.Fatalf("%s %s", a.Status, a.body)
		}
		if len(out.Texts) != 2 || out.Texts[0] != "hello" || out.Texts[1] != "" || out.Files[0].Name != "a b.txt" || out.Files[0].Bytes != 5 ||
			out.Files[0].ContentType != "text/plain; charset=utf-8" || out.Files[0].SHA256 != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" {
			t.Errorf("the service got %+v", out)
		}
		if len(job.Tags) != 2 || job.Priority != 3 || string(job.Metadata) != `{"k":1}` {
			t.Errorf("options are lost: %s", a.body)
		}
		seen := f.do(t, "GET", "/v1/jobs/"+job.ID, "").job(t)
		var input readInput
		if err := json.Unmarshal(seen.Input, &input); err != nil || seen.Uploads[input.File].Name != "a b.txt" || len(seen.Uploads) != 2 {
			t.Errorf("the owner sees %s and %v", seen.Input, seen.Uploads)
		}
		testGetUpload(t, f, &seen, input.File)
		if byToken := request0(t, job.StatusURL); strings.Contains(byToken, "upload") || strings.Contains(byToken, `"input"`) {
			t.Errorf("without credentials: %s", byToken)
		}
		again := f.do(t, "POST", "/v1/jobs/"+job.ID+"/retry", "").job(t)
		if err := f.queue.Delete(t.Context(), job.ID, true); err != nil {
			t.Fatal(err)
		}
		if done := f.do(t, "GET", "/v1/jobs/"+again.ID+"?wait=20", "").job(t); string(done.Output) != string(job.Output) {
			t.Errorf("the retry: %s, want %s", done.Output, job.Output)
		}
		if found := place.settled(t, 2); len(found) != 2 {
			t.Errorf("stored are %q, want the two files of the retry", found)
		}
		if err := f.queue.Delete(t.Context(), again.ID, true); err != nil {
			t.Fatal(err)
		}
		if found := place.settled(t, 0); len(found) != 0 {
			t.Errorf("after the jobs were deleted, %q are left", found)
		}
	})
}

// request0 returns the body of a GET without credentials.
func request0(t *testing.T, url string) string {
	t.Helper()
	_, body := request(t, "GET", url)
	return body
}

// A submission that comes twice with its key has the first one's job if its files are the same too.
func TestUploadTwice(t *testing.T) { eachStore(t, testUploadTwice) }

func testUploadTwice(t *testing.T, kind storeKind) {
	o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 10_000})
	f := newFixture(t, jobstest.SQLite(t), o)
	key := append([]string{"Idempotency-Key: k"}, wait...)
	first, again := f.upload(t, key, "file@a=1").job(t), f.upload(t, key, "file@a=1")
	if again.job(t).ID != first.ID || again.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the same again: %s %s", again.Status, again.body)
	}
	for _, other := range []string{"file@a=2", "file@b=1"} {
		if a := f.upload(t, key, other); a.StatusCode != 422 || !strings.Contains(a.body, "idempotency-key-reused") {
			t.Errorf("%s: %s %s", other, a.Status, a.body)
		}
	}
	if found := place.settled(t, 1); len(found) != 1 {
		t.Errorf("stored are %q, want the first file", found)
	}
}

// Whatever is wrong with a form has a clear answer, and leaves no file.
func TestUploadRefused(t *testing.T) { eachStore(t, testUploadRefused) }

func testUploadRefused(t *testing.T, kind storeKind) {
	o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 1500})
	f := newFixture(t, jobstest.SQLite(t), o)
	var many []string
	for i := range jobs.MaxUploads + 1 {
		many = append(many, fmt.Sprintf("more@%d=x", i))
	}
	for name, tt := range map[string]struct {
		parts  []string
		status int
		want   string
	}{
		"missing":         {[]string{"input={}"}, 422, `"body.input.file"`},
		"none chosen":     {[]string{"file@="}, 422, `"body.input.file"`},
		"text":            {[]string{"file=hello"}, 422, "the part file"},
		"forged":          {[]string{"file=upload_06h21hft0dwc"}, 422, "the part file"},
		"twice":           {[]string{"file@a=1", "file@b=2"}, 422, "expected one file"},
		"also in input":   {[]string{`input={"file": "x"}`, "file@b=2"}, 422, "expected it once"},
		"option twice":    {[]string{"file@a=1", `input={"fail": false}`, "input.fail=true"}, 422, "expected it once"},
		"unknown file":    {[]string{"file@a=1", "video@b=2"}, 422, "only in file, more"},
		"unknown field":   {[]string{"file@a=1", "speed=2"}, 422, `"body.speed"`},
		"unknown input":   {[]string{"file@a=1", "input.speed=2"}, 422, `"body.input.speed"`},
		"wrong type":      {[]string{"file@a=1", "input.fail=perhaps"}, 422, `"body.input.fail"`},
		"no object":       {[]string{"file@a=1", "input=[]"}, 422, "JSON object"},
		"no JSON":         {[]string{"file@a=1", "input={x}"}, 422, "JSON object"},
		"too large":       {[]string{"file@a=" + strings.Repeat("x", 1001)}, 413, "at most 1000 bytes"},
		"too much":        {[]string{"file@a=" + strings.Repeat("x", 900), "more@b=" + strings.Repeat("x", 900)}, 507, "files.max_total"},
		"large field":     {[]string{"file@a=1", "callback_state=" + strings.Repeat("x", 1<<20+100)}, 413, "without files"},
		"many files":      {append(many, "file@a=1"), 422, "at most 20 files"},
		"unknown service": {[]string{"file@a=1", `then=[{"service": "nope", "input": {}}]`}, 422, "unknown service"},
		"further step":    {[]string{"file@a=1", `then=[{"service": "read", "input": {"file": "x"}}]`}, 422, `"body.then[0].input.file"`},
	} {
		t.Run(name, func(t *testing.T) {
			if a := f.upload(t, wait, tt.parts...); a.StatusCode != tt.status || !strings.Contains(a.body, tt.want) {
				t.Errorf("%s %s, want %d and %s", a.Status, a.body, tt.status, tt.want)
			}
			if found := place.settled(t, 0); len(found) != 0 {
				t.Errorf("%q are left", found)
			}
		})
	}
	body, header := formOf(t, "file@a=12345")
	for name, tt := range map[string]struct{ path, body, header, want string }{
		"JSON":            {"read", `{"input": {"file": "upload_06h21hft0dwc"}}`, "Content-Type: application/json", "the part file"},
		"cut":             {"read", body[:len(body)-30], header, "malformed"},
		"wrong boundary":  {"read", strings.ReplaceAll(body, "--", "--x"), header, "no part with the boundary"},
		"no part":         {"read", "", header, "no part with the boundary"},
		"two names":       {"read", strings.Replace(body, `filename="a"`, `filename="a"; filename="b"`, 1), header, "different parameters"},
		"no boundary":     {"read", body, "Content-Type: multipart/form-data", "malformed"},
		"other service":   {"render", body, header, "expected a JSON body"},
		"another type":    {"read", body, "Content-Type: text/plain", "multipart/form-data"},
		"unknown service": {"nope", body, header, "expected a JSON body"},
	} {
		t.Run(name, func(t *testing.T) {
			if a := f.do(t, "POST", "/v1/services/"+tt.path+"/jobs", tt.body, tt.header); a.StatusCode < 400 || a.StatusCode > 499 || !strings.Contains(a.body, tt.want) {
				t.Errorf("%s %s, want %s", a.Status, a.body, tt.want)
			}
			if found := place.settled(t, 0); len(found) != 0 {
				t.Errorf("%q are left", found)
			}
		})
	}
	if a := f.upload(t, wait, "file@a=1", "more@b="+strings.Repeat("x", 1000)); a.StatusCode != 200 {
		t.Errorf("after all that, %s %s", a.Status, a.body)
	}
}

// A server without a file store refuses uploads and names the missing setting.
func TestUploadWithoutFiles(t *testing.T) {
	f := newFixture(t, jobstest.SQLite(t), options{services: addRead})
	if a := f.upload(t, nil, "file@a=1"); a.StatusCode != 415 || !strings.Contains(a.body, "set files.dir or files.s3") {
		t.Errorf("%s %s", a.Status, a.body)
	}
}

// A large file may take longer than other bodies, as long as it keeps coming.
func TestUploadMayBeSlow(t *testing.T) { eachStore(t, testUploadMayBeSlow) }

func testUploadMayBeSlow(t *testing.T, kind storeKind) {
	o, place := withUploads(t, kind, files.Limits{File: 10 << 20, Total: 100 << 20})
	withDir := o.api
	o.api = func(c *api.Config) {
		withDir(c)
		c.BodyTimeout, c.MaxBody = 500*time.Millisecond, 64<<10
	}
	f := newFixture(t, jobstest.SQLite(t), o)
	body, header := formOf(t, "file@a="+strings.Repeat("x", 400<<10))
	send := func(rest string, pause time.Duration) string {
		conn := raw(t, f.URL, fmt.Sprintf("POST /v1/services/read/jobs HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nPrefer: wait=20\r\n%s\r\nContent-Length: %d\r\n\r\n",
			strings.TrimPrefix(f.URL, "http://"), header, len(body)))
		for len(rest) > 0 {
			n := min(20<<10, len(rest))
			if _, err := io.WriteString(conn, rest[:n]); err != nil {
				break
			}
			rest = rest[n:]
			time.Sleep(pause) // the client's pace is what is tested
		}
		b, err := io.ReadAll(conn)
		if err != nil && !isReset(err) {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := send(body, 100*time.Millisecond); !strings.Contains(got, "HTTP/1.1 200") {
		t.Errorf("slow but steady: %.500s", got)
	}
	if got := send(body[:10<<10], 0); !strings.Contains(got, "408") {
		t.Errorf("one that stops: %.500s", got)
	}
	if found := place.settled(t, 1); len(found) != 1 {
		t.Errorf("stored are %q, want one file", found)
	}
}

func isReset(err error) bool {
	_, ok := errors.AsType[*net.OpError](err)
	return ok
}

// The files of a submission that is not finished yet are not swept; those of a dead one are.
func TestUnfinishedUploadsAreSwept(t *testing.T) { eachStore(t, testUnfinishedUploadsAreSwept) }

func testUnfinishedUploadsAreSwept(t *testing.T, kind storeKind) {
	o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 10_000})
	db := jobstest.SQLite(t)
	f := newFixture(t, db, o)
	job := f.upload(t, wait, "file@a=1").job(t)
	young, old := strings.Replace(job.ID, job.ID[4:8], "0000", 1), strings.Replace(job.ID, job.ID[4:8], "0001", 1)
	place.plant(t, young+"/upload_x.part", 0)
	place.plant(t, old+"/upload_x.part", 2*time.Hour)
	other := place.open(t, files.Limits{File: 1000, Total: 10_000})
	newFixture(t, db, options{queue: func(c *queue.Config) { c.Files = other }})
	jobstest.Until(t, "sweep", func() bool { return len(place.stored(t)) == 2 })
	for _, path := range place.stored(t) {
		if strings.HasPrefix(path, old+"/") {
			t.Errorf("%s is left", path)
		}
	}
}

// A file may be named by its URL. The worker downloads it under the rules for callbacks, in each
// attempt, and keeps it no longer than the run.
func TestFileByURL(t *testing.T) { eachStore(t, testFileByURL) }

func testFileByURL(t *testing.T, kind storeKind) {
	var busy atomic.Bool
	remote := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/a.txt":
			io.WriteString(w, "hello "+r.URL.RawQuery+r.Header.Get("Referer"))
		case "/moved":
			http.Redirect(w, r, "/a.txt?moved", http.StatusFound)
		case "/inside":
			http.Redirect(w, r, "http://10.1.2.3/secret", http.StatusFound)
		case "/around":
			http.Redirect(w, r, "/around", http.StatusFound)
		case "/busy":
			if busy.CompareAndSwap(false, true) {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			w.Header().Set("Content-Disposition", `attachment; filename="../b.bin"`)
			io.WriteString(w, "at last")
		case "/large":
			io.WriteString(w, strings.Repeat("x", 2000))
		case "/cut":
			w.Header().Set("Content-Length", "100")
		case "/zipped.txt":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, "unzipped "+r.Header.Get("Accept-Encoding"))
			z.Close()
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			z.Write(make([]byte, 100_000))
			z.Close()
		case "/brotli":
			w.Header().Set("Content-Encoding", "br")
		default:
			http.NotFound(w, r)
		}
	}))
	defer remote.Close()
	o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 10_000})
	guard, err := notify.NewGuard(notify.GuardConfig{Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	queueFiles, apiFiles := o.queue, o.api
	o.queue = func(c *queue.Config) {
		queueFiles(c)
		c.Sender = notify.NewSender(notify.SenderConfig{Guard: guard})
	}
	o.api = func(c *api.Config) {
		apiFiles(c)
		c.Guard = guard
	}
	f := newFixture(t, jobstest.SQLite(t), o)
	for _, tt := range []struct{ input, options, status, want string }{
		{`"file": "` + remote.URL + `/a.txt?key=secret"`, "", "succeeded", `"name":"a.txt","content_type":"text/plain; charset=utf-8","bytes":16`},
		{`"file": "` + remote.URL + `/moved", "more": ["` + remote.URL + `/a.txt"]`, "", "succeeded", `"texts":["hello moved","hello "]`},
		{`"file": "` + remote.URL + `/busy"`, `, "max_attempts": 2`, "succeeded", `"name":"b.bin"`},
		{`"file": "` + remote.URL + `/none?key=secret"`, `, "max_attempts": 2`, "failed", "responded 404 Not Found"},
		{`"file": "` + remote.URL + `/inside"`, `, "max_attempts": 2`, "failed", "the server redirects: "},
		{`"file": "` + remote.URL + `/around"`, `, "max_attempts": 2`, "failed", "more than 5 times"},
		{`"file": "` + remote.URL + `/large"`, `, "max_attempts": 2`, "failed", "files.max_file"},
		{`"file": "` + remote.URL + `/zipped.txt"`, "", "succeeded", `"texts":["unzipped identity"]`},
		{`"file": "` + remote.URL + `/bomb"`, `, "max_attempts": 2`, "failed", "files.max_file"},
		{`"file": "` + remote.URL + `/brotli"`, `, "max_attempts": 2`, "failed", "Content-Encoding: \\\"br\\\""},
		{`"file": "` + remote.URL + `/cut"`, "", "failed", "input.file: download a file from 127.0.0.1"},
	} {
		a := f.do(t, "POST", "/v1/services/read/jobs", `{"input": {`+tt.input+`}`+tt.options+`}`, "Prefer: wait=20")
		if job := a.job(t); string(job.Status) != tt.status || !strings.Contains(a.body, tt.want) || job.Attempt > 1 && tt.status == "failed" {
			t.Errorf("%s: %s, want %s", tt.input, a.body, tt.want)
		}
		log := f.do(t, "GET", "/v1/jobs/"+a.job(t).ID+"/log", "")
		if strings.Contains(log.body, "secret") || !strings.Contains(log.body, "downloading a file from 127.0.0.1") {
			t.Errorf("%s: the log is %s", tt.input, log.body)
		}
	}
	if found := place.settled(t, 0); len(found) != 0 {
		t.Errorf("%q are left", found)
	}
	for url, want := range map[string]string{
		"https://10.1.2.3/a": "public addresses only", "ftp://example.com/a": "expected a file: its URL", "https://u:p@example.com/": "user name",
	} {
		if a := f.do(t, "POST", "/v1/services/read/jobs", `{"input": {"file": "`+url+`"}}`); a.StatusCode != 422 || !strings.Contains(a.body, want) || !strings.Contains(a.body, "body.input.file") {
			t.Errorf("%s: %s %s", url, a.Status, a.body)
		}
	}
	chained := f.do(t, "POST", "/v1/services/echo.text/jobs", `{"input": {"text": "`+remote.URL+`/a.txt"}, "then": [{"service": "read", "input": {"file": {"$output": ""}}}]}`, "Prefer: wait=20")
	if !strings.Contains(chained.body, `"texts":["hello "]`) {
		t.Errorf("a URL from another step: %s", chained.body)
	}
}

// A client that sends a large form before it reads the response gets to read why it was refused.
func TestUploadRefusedIsRead(t *testing.T) {
	o, _ := withUploads(t, inDir, files.Limits{File: 100 << 20, Total: 1 << 30})
	f := newFixture(t, jobstest.SQLite(t), o)
	body, header := formOf(t, "video@a="+strings.Repeat("x", 20<<20))
	for path, want := range map[string]string{"read": "only in file, more", "render": "expected a JSON body"} {
		conn := raw(t, f.URL, fmt.Sprintf("POST /v1/services/%s/jobs HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\nContent-Length: %d\r\n\r\n",
			path, strings.TrimPrefix(f.URL, "http://"), header, len(body)))
		_, sent := io.WriteString(conn, body)
		if got, err := io.ReadAll(conn); sent != nil || err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: sent %v, got %s, %v", path, sent, got, err)
		}
	}
	large := fmt.Sprintf("POST /v1/services/read/jobs HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nExpect: 100-continue\r\n%s\r\nContent-Length: %d\r\n\r\n",
		strings.TrimPrefix(f.URL, "http://"), header, int64(10<<30))
	got, err := io.ReadAll(raw(t, f.URL, large))
	if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 413") {
		t.Errorf("one that asks first: %s, %v", got, err)
	}
}

// The file that a step returns is the input of the next one, in each attempt, and is deleted when
// that one has ended.
func TestChainOfFiles(t *testing.T) { eachStore(t, testChainOfFiles) }

func testChainOfFiles(t *testing.T, kind storeKind) {
	jobstest.EachDatabase(t, func(t *testing.T, db *store.DB) {
		o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 10_000})
		var attempts atomic.Int32
		o.services = func(r *jobs.Registry) {
			addRead(r)
			jobs.Add(r, jobs.Service{Name: "upper"}, func(ctx context.Context, in readInput) (jobs.File, error) {
				f, err := jobs.OpenFile(ctx, in.File)
				if err != nil {
					return jobs.File{}, err
				}
				defer f.Close()
				text, err := io.ReadAll(f)
				if err == nil && attempts.Add(1) == 1 {
					err = fmt.Errorf("busy: %w", jobs.RetryAfter(0))
				}
				if err != nil {
					return jobs.File{}, err
				}
				return jobs.SaveFile(ctx, f.Name, f.ContentType, bytes.NewReader(bytes.ToUpper(text)))
			})
		}
		f := newFixture(t, db, o)
		submit := func(last string) answer {
			return f.do(t, "POST", "/v1/services/render/jobs", `{"input": {"name": "a.txt", "content": "hello"}, "max_attempts": 2, "then": [
				{"service": "upper", "input": {"file": {"$output": ""}}}, `+last+`]}`, "Prefer: wait=20")
		}
		if a := submit(`{"service": "read", "input": {"file": {"$output": ""}, "more": [{"$output": ""}]}}`); !strings.Contains(a.body, `"texts":["HELLO"`) {
			t.Errorf("one file after the other: %s", a.body)
		}
		if a := submit(`{"service": "read", "input": {"file": {"$output": ""}, "fail": true}}`); !strings.Contains(a.body, `"status":"failed"`) {
			t.Errorf("a step that fails: %s", a.body)
		}
		if a := submit(`{"service": "echo.text", "input": {"text": {"$output": "/name"}}}`); !strings.Contains(a.body, `"output":"a.txt"`) {
			t.Errorf("a part of the description: %s", a.body)
		}
		if found := place.settled(t, 0); len(found) != 0 {
			t.Errorf("after the ends, %q are left", found)
		}
		a := submit(`{"service": "upper", "input": {"file": {"$output": ""}}}`)
		if _, body := request(t, "GET", a.job(t).ResultURL); body != "HELLO" || len(place.settled(t, 1)) != 1 {
			t.Errorf("the last file: %s, stored are %q", body, place.stored(t))
		}
		if a := submit(`{"service": "echo.text", "input": {"text": {"$output": ""}}}`); !strings.Contains(a.body, "invalid input") {
			t.Errorf("a file for a text: %s", a.body)
		}
	})
}

// A retry needs space for its files like another upload, and is refused where there is none.
func TestRetryOfUploadIsLimited(t *testing.T) {
	eachStore(t, func(t *testing.T, kind storeKind) {
		o, place := withUploads(t, kind, files.Limits{File: 1000, Total: 1900})
		f := newFixture(t, jobstest.SQLite(t), o)
		job := f.upload(t, wait, "file@a="+strings.Repeat("x", 900)).job(t)
		for n, status := range []int{202, 507} {
			a := f.do(t, "POST", "/v1/jobs/"+job.ID+"/retry", "")
			if a.StatusCode != status || status == 507 && !strings.Contains(a.body, "files.max_total") {
				t.Errorf("retry %d: %s %s", n+1, a.Status, a.body)
			}
		}
		if found := place.stored(t); len(found) != 2 {
			t.Errorf("stored are %q, want two files", found)
		}
	})
}

// A list of files may have files and URLs.
func TestUploadMixedWithURLs(t *testing.T) {
	o, _ := withUploads(t, inDir, files.Limits{File: 1000, Total: 10_000})
	f := newFixture(t, jobstest.SQLite(t), o)
	a := f.upload(t, nil, "file@a=1", "more@b=2", "more=https://example.invalid/c")
	if a.StatusCode != 202 {
		t.Fatalf("%s %s", a.Status, a.body)
	}
	seen := f.do(t, "GET", "/v1/jobs/"+a.job(t).ID, "").job(t)
	if !regexp.MustCompile(`"more": ?\["upload_\w+", ?"https://example.invalid/c"\]`).Match(seen.Input) {
		t.Errorf("the input is %s", seen.Input)
	}
}
