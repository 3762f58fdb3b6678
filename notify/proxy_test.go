package notify_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"coatcheck/notify"
)

// A tunnelProxy is an HTTP proxy that notes what it is asked for, and connects
// all of it to one receiver.
type tunnelProxy struct {
	mu    sync.Mutex
	asked []string
	to    string
}

func (p *tunnelProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.asked = append(p.asked, r.Method+" "+r.Host+" "+r.Header.Get("Proxy-Authorization"))
	p.mu.Unlock()
	if r.Method != http.MethodConnect {
		return
	}
	receiver, err := net.Dial("tcp", p.to)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer receiver.Close()
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	go io.Copy(receiver, buffered)
	io.Copy(conn, receiver)
}

func (p *tunnelProxy) seen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.asked = nil }()
	return strings.Join(p.asked, ",")
}

// A proxy is asked for an address that was checked, not for a name that it would
// look up itself.
func TestProxyGetsCheckedAddresses(t *testing.T) {
	var host string
	receiver := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { host = r.Host }))
	defer receiver.Close()
	roots := x509.NewCertPool()
	roots.AddCert(receiver.Certificate()) // of example.com
	p := &tunnelProxy{to: receiver.Listener.Addr().String()}
	server := httptest.NewServer(p)
	defer server.Close()
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("me", "pw")
	for _, test := range []struct {
		name, url, addr string
		allow           []string
		code, asked     string
	}{
		{"public", "https://example.com/hook", "93.184.216.34", nil, "ok", "CONNECT 93.184.216.34:443 Basic bWU6cHc="},
		{"address", "https://93.184.216.34:8443/", "10.0.0.1", nil, "tls_certificate", "CONNECT 93.184.216.34:8443 Basic bWU6cHc="},
		{"metadata", "https://example.com/", "169.254.169.254", []string{"example.com"}, "blocked_address", ""},
		{"private", "https://example.com:8443/", "10.0.0.1", nil, "blocked_address", ""},
		{"loopback", "https://example.com/", "127.0.0.1", nil, "blocked_address", ""},
		{"allowed by its name", "https://example.com/", "10.0.0.1", []string{"example.com"}, "ok", "CONNECT 10.0.0.1:443 Basic bWU6cHc="},
		{"http, private", "http://example.com/", "10.0.0.1", nil, "blocked_address", ""},
		{"http, allowed", "http://example.com/", "10.0.0.1", []string{"example.com"}, "ok", "POST example.com Basic bWU6cHc="},
		{"the proxy itself", "https" + strings.TrimPrefix(server.URL, "http"), "10.0.0.1", []string{"127.0.0.0/8"}, "blocked_address", ""},
	} {
		s := notify.NewSender(notify.SenderConfig{
			Guard: newGuard(t, notify.GuardConfig{Allow: test.allow}), ProxyURL: u, CheckForProxy: true, Resolver: fakeDNS(t, test.addr), TLS: &tls.Config{RootCAs: roots},
		})
		host = ""
		got := s.Send(t.Context(), request(test.url))
		s.Close()
		if asked := p.seen(); got.Code != test.code || asked != test.asked {
			t.Errorf("%s: %+v, the proxy was asked for %q", test.name, got, asked)
		}
		if strings.HasPrefix(test.asked, "CONNECT") && test.code == "ok" && host != "example.com" {
			t.Errorf("%s: the receiver got the host %q", test.name, host)
		}
	}
	// Where the proxy decides, it gets the name.
	s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{}), ProxyURL: u, TLS: &tls.Config{RootCAs: roots}})
	defer s.Close()
	if got := s.Send(t.Context(), request("https://example.com/")); got.Class != notify.Delivered || !strings.HasPrefix(p.seen(), "CONNECT example.com:443 ") {
		t.Errorf("without checks: %+v", got)
	}
}

// A proxy that does not work is no fault of the receiver's, with checks too.
func TestCheckedProxyFails(t *testing.T) {
	status := http.StatusProxyAuthRequired
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	through := func(u *url.URL) notify.Result {
		s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{}), ProxyURL: u, CheckForProxy: true, Resolver: fakeDNS(t, "93.184.216.34")})
		defer s.Close()
		return s.Send(t.Context(), request("https://hooks.example/"))
	}
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := through(u); got.Class != notify.Local || got.Code != "proxy_failed" {
		t.Errorf("407: %+v", got)
	}
	status = http.StatusBadGateway
	if got := through(u); got.Class != notify.Retry {
		t.Errorf("502: %+v", got)
	}
	server.Close()
	for _, scheme := range []string{"http", "https", "socks5"} {
		if got := through(&url.URL{Scheme: scheme, Host: u.Host}); got.Class != notify.Local || got.Code != "proxy_failed" {
			t.Errorf("no %s proxy: %+v", scheme, got)
		}
	}
}
