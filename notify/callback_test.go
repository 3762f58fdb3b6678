package notify_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

func newGuard(t testing.TB, c notify.GuardConfig) *notify.Guard {
	t.Helper()
	g, err := notify.NewGuard(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestCheckURL(t *testing.T) {
	strict := newGuard(t, notify.GuardConfig{Own: []string{"jobs.example.com:443"}})
	allowing := newGuard(t, notify.GuardConfig{Allow: []string{"10.1.0.0/16", "hooks.internal", "*.corp.internal", "192.168.7.7:8080", "web_app"}})
	loopback := newGuard(t, notify.GuardConfig{Loopback: true})
	for _, test := range []struct {
		guard *notify.Guard
		url   string
		want  string // "" when it is refused
	}{
		{strict, "https://example.com/hook?x=1", "https://example.com/hook?x=1"},
		{strict, "https://EXAMPLE.com:8443/", "https://example.com:8443/"},
		{strict, "https://bücher.example/", "https://xn--bcher-kva.example/"},
		{strict, "https://BÜCHER.example./", "https://xn--bcher-kva.example/"},
		{strict, "https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"},
		{strict, "https://my_app.example.com/h", "https://my_app.example.com/h"},
		{strict, "https://pr--site.netlify.app/h", "https://pr--site.netlify.app/h"},
		{strict, "https://r3---sn-x.example.com/", "https://r3---sn-x.example.com/"},
		{strict, "https://ends-.example.com/", "https://ends-.example.com/"},
		{strict, "https://a!b.example.com/", ""},
		{strict, "https://xn--a.example/", ""},
		{strict, "https://a..example.com/", ""},
		{strict, "https://93.184.216.34/", "https://93.184.216.34/"},
		{strict, "https://[2606:2800:220:1:248:1893:25c8:1946]/", "https://[2606:2800:220:1:248:1893:25c8:1946]/"},
		{strict, "http://example.com/", ""},
		{strict, "ftp://example.com/", ""},
		{strict, "javascript:alert(1)", ""},
		{strict, "//example.com/", ""},
		{strict, "https://", ""},
		{strict, "https:example.com", ""},
		{strict, "https://user:secret@example.com/", ""},
		{strict, "https://example.com/#x", ""},
		{strict, "https://example.com:22/", ""},
		{strict, "https://example.com:6379/", ""},
		{strict, "https://example.com:0/", ""},
		{strict, "https://example.com:99999/", ""},
		{strict, "https://exa mple.com/", ""},
		{strict, "https://example.com\\@127.0.0.1/", ""},
		{strict, "https://example.com/\x00", ""},
		{strict, "https://example.com/" + strings.Repeat("x", 2048), ""},
		{strict, "https://localhost/", ""},
		{strict, "https://intranet/", ""},
		{strict, "https://printer.local/", ""},
		{strict, "https://db.internal/", ""},
		{strict, "https://jobs.example.com/hook", ""},
		{strict, "https://127.0.0.1/", ""},
		{strict, "https://127.1/", ""},
		{strict, "https://2130706433/", ""},
		{strict, "https://0x7f000001/", ""},
		{strict, "https://0177.0.0.1/", ""},
		{strict, "https://127.0.0.1./", ""},
		{strict, "https://[::1]/", ""},
		{strict, "https://[::ffff:127.0.0.1]/", ""},
		{strict, "https://[64:ff9b::7f00:1]/", ""},
		{strict, "https://[2002:7f00:1::]/", ""},
		{strict, "https://[fe80::1%25eth0]/", ""},
		{strict, "https://10.0.0.1/", ""},
		{strict, "https://172.16.0.1/", ""},
		{strict, "https://192.168.0.1/", ""},
		{strict, "https://169.254.169.254/latest/meta-data", ""},
		{strict, "https://100.64.0.1/", ""},
		{strict, "https://0.0.0.0/", ""},
		{strict, "https://255.255.255.255/", ""},
		{strict, "https://224.0.0.1/", ""},
		{strict, "https://198.18.0.1/", ""},
		{strict, "https://[fc00::1]/", ""},
		{strict, "https://[ff02::1]/", ""},
		{allowing, "http://10.1.2.3:81/x", "http://10.1.2.3:81/x"},
		{allowing, "http://web_app:8000/hook", "http://web_app:8000/hook"},
		{allowing, "http://10.2.0.1/", ""},
		{allowing, "http://hooks.internal/", "http://hooks.internal/"},
		{allowing, "http://a.corp.internal/", "http://a.corp.internal/"},
		{allowing, "http://acorp.internal/", ""},
		{allowing, "http://192.168.7.7:8080/", "http://192.168.7.7:8080/"},
		{allowing, "http://192.168.7.7:8081/", ""},
		{loopback, "http://127.0.0.1:5001/", "http://127.0.0.1:5001/"},
		{loopback, "http://localhost:5001/", "http://localhost:5001/"},
		{loopback, "http://[::1]:5001/", "http://[::1]:5001/"},
		{loopback, "http://10.0.0.1/", ""},
		{loopback, "https://169.254.169.254/", ""},
	} {
		got, err := test.guard.CheckURL(test.url)
		if test.want == "" {
			if refused, ok := errors.AsType[*notify.URLError](err); !ok || refused.Reason == "" || strings.Contains(refused.Reason, "secret") {
				t.Errorf("%.60q: %q, %v, want a refusal", test.url, got, err)
			}
			continue
		}
		if err != nil || got != test.want {
			t.Errorf("%.60q: %q, %v, want %q", test.url, got, err, test.want)
		}
	}
	if _, err := notify.NewGuard(notify.GuardConfig{Allow: []string{"10.0.0.1/8", "*", "a b", "fine.internal"}}); err == nil ||
		!strings.Contains(err.Error(), "10.0.0.1/8") || !strings.Contains(err.Error(), `"*"`) || strings.Contains(err.Error(), "fine") {
		t.Errorf("NewGuard: %v", err)
	}
}

func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.com/", "https://127.0.0.1/", "https://[::1]:443/x", "javascript:alert(1)", "https://0x7f.1/", "https://a@b/", "https://xn--/"} {
		f.Add(s)
	}
	g := newGuard(f, notify.GuardConfig{})
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := g.CheckURL(raw)
		if err != nil {
			return
		}
		u, err := url.Parse(got)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q became %q", raw, got)
		}
		if ip := net.ParseIP(u.Hostname()); ip != nil && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified()) {
			t.Errorf("%q leads to %s", raw, ip)
		}
		if again, err := g.CheckURL(got); err != nil || again != got {
			t.Errorf("%q became %q, which becomes %q, %v", raw, got, again, err)
		}
	})
}

func send(t *testing.T, guard notify.GuardConfig, url string, timeout time.Duration) notify.Result {
	t.Helper()
	s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, guard), Timeout: timeout})
	defer s.Close()
	return s.Send(t.Context(), notify.Request{ID: "msg_1", URL: url, Body: []byte(`{"a":1}`), Keys: []webhook.Key{webhook.NewKey(webhook.V1)}})
}

// What each answer means for the delivery.
func TestSendStatus(t *testing.T) {
	for _, test := range []struct {
		status     int
		retryAfter string
		class      notify.Class
		wait       time.Duration
	}{
		{200, "", notify.Delivered, 0},
		{201, "", notify.Delivered, 0},
		{204, "", notify.Delivered, 0},
		{299, "", notify.Delivered, 0},
		{301, "", notify.Refused, 0},
		{302, "", notify.Refused, 0},
		{307, "", notify.Refused, 0},
		{400, "", notify.Refused, 0},
		{401, "", notify.Refused, 0},
		{404, "", notify.Refused, 0},
		{408, "", notify.Retry, 0},
		{409, "", notify.Refused, 0},
		{410, "", notify.Final, 0},
		{413, "", notify.Final, 0},
		{414, "", notify.Final, 0},
		{425, "", notify.Retry, 0},
		{429, "30", notify.Throttled, 30 * time.Second},
		{429, "nonsense", notify.Throttled, 0},
		{431, "", notify.Final, 0},
		{500, "30", notify.Retry, 0},
		{502, "", notify.Retry, 0},
		{503, "100000", notify.Throttled, time.Hour},
		{503, "-1", notify.Retry, 0},
		{503, "", notify.Retry, 0}, // asks for nothing, so it is a failure like any other
		{599, "", notify.Retry, 0},
	} {
		hits := 0
		r := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hits++
			body, _ := io.ReadAll(r.Body)
			if r.Method != "POST" || string(body) != `{"a":1}` || r.Header.Get("Webhook-Id") != "msg_1" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Idempotency-Key") != "" {
				t.Errorf("%s %v %s", r.Method, r.Header, body)
			}
			w.Header().Set("Location", "/elsewhere")
			if test.retryAfter != "" {
				w.Header().Set("Retry-After", test.retryAfter)
			}
			w.WriteHeader(test.status)
			if test.status != 204 {
				io.WriteString(w, "an answer")
			}
		}))
		got := send(t, notify.GuardConfig{Loopback: true}, r.URL+"/hook", 0)
		r.Close()
		if want := r.URL + "/elsewhere"; test.status/100 == 3 && !strings.Contains(got.Message, want) {
			t.Errorf("%d: %q, want the Location %s", test.status, got.Message, want)
		}
		if got.Class != test.class || got.StatusCode != test.status || got.RetryAfter != test.wait || hits != 1 || test.status != 204 && got.Response != "an answer" {
			t.Errorf("%d %s: %+v after %d requests", test.status, test.retryAfter, got, hits)
		}
	}
}

// What happens without an answer.
func TestSendFails(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	hang := make(chan struct{})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hang":
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		case "/reset":
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		case "/huge":
			w.Write(bytes.Repeat([]byte("x"), 10<<20))
		case "/headers":
			w.Header().Set("X", strings.Repeat("x", 64<<10))
		}
	}))
	defer receiver.Close()
	defer close(hang)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	here := notify.GuardConfig{Loopback: true}
	for _, test := range []struct {
		name  string
		guard notify.GuardConfig
		url   string
		class notify.Class
		code  string
	}{
		{"hangs", here, receiver.URL + "/hang", notify.Retry, "timeout"},
		{"resets", here, receiver.URL + "/reset", notify.Retry, "no_answer"},
		{"answers without end", here, receiver.URL + "/huge", notify.Delivered, "ok"},
		{"answers with huge headers", here, receiver.URL + "/headers", notify.Retry, "no_answer"},
		{"is not there", here, "http://" + gone.Addr().String(), notify.Retry, "connect_failed"},
		{"has a wrong certificate", here, secure.URL, notify.Retry, "tls_certificate"},
		{"speaks no TLS", here, "https" + strings.TrimPrefix(receiver.URL, "http"), notify.Retry, "tls_failed"},
		{"is not allowed", notify.GuardConfig{}, receiver.URL, notify.Final, "blocked_address"},
		// The name is fine, what it resolves to is not.
		{"resolves to loopback", notify.GuardConfig{}, "http://localhost:" + receiver.URL[strings.LastIndexByte(receiver.URL, ':')+1:], notify.Final, "blocked_address"},
	} {
		t.Run(test.name, func(t *testing.T) {
			timeout := 20 * time.Second
			if test.code == "timeout" {
				timeout = 100 * time.Millisecond
			}
			got := send(t, test.guard, test.url, timeout)
			if got.Class != test.class || got.Code != test.code || len(got.Response) > 4<<10 || strings.Contains(got.Message, "127.0.0.1") {
				t.Errorf("%+v", got)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, here)})
	defer s.Close()
	if got := s.Send(ctx, notify.Request{ID: "msg_1", URL: receiver.URL, Keys: []webhook.Key{webhook.NewKey(webhook.V1)}}); got.Class != notify.Local {
		t.Errorf("canceled: %+v", got)
	}
}

func TestSchedule(t *testing.T) {
	s := notify.DefaultSchedule()
	for _, test := range []struct {
		attempts    int
		result      notify.Result
		least, most time.Duration
		again       bool
	}{
		{1, notify.Result{Class: notify.Retry}, 4 * time.Second, 6 * time.Second, true},
		{9, notify.Result{Class: notify.Retry}, 9 * time.Hour, 15 * time.Hour, true},
		{10, notify.Result{Class: notify.Retry}, 0, 0, false},
		{1, notify.Result{Class: notify.Delivered}, 0, 0, false},
		{1, notify.Result{Class: notify.Final}, 0, 0, false},
		{4, notify.Result{Class: notify.Refused}, 8 * time.Minute, 12 * time.Minute, true},
		{5, notify.Result{Class: notify.Refused}, 0, 0, false},
		{1, notify.Result{Class: notify.Throttled, RetryAfter: time.Hour}, time.Hour, time.Hour, true},
		{99, notify.Result{Class: notify.Local}, 8 * time.Second, 12 * time.Second, true},
	} {
		for range 20 {
			delay, again := s.Next(test.attempts, test.result)
			if delay < test.least || delay > test.most || again != test.again {
				t.Errorf("after %d attempts and %+v: %s, %t", test.attempts, test.result, delay, again)
			}
		}
	}
}
