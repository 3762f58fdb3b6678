package notify_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

func request(url string) notify.Request {
	return notify.Request{ID: "msg_1", URL: url, Body: []byte(`{"a":1}`), Keys: []webhook.Key{webhook.NewKey(webhook.V1)}}
}

// serve answers each connection by hand.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go handle(conn)
		}
	}()
	return "http://" + ln.Addr().String()
}

func readRequest(conn net.Conn, r *bufio.Reader) error {
	req, err := http.ReadRequest(r)
	if err == nil {
		_, err = io.Copy(io.Discard, req.Body)
	}
	if err != nil {
		conn.Close()
	}
	return err
}

// Receivers that are odd, but have taken the callback.
func TestSendToOddReceivers(t *testing.T) {
	here := notify.GuardConfig{Loopback: true}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(make([]byte, 10<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]string{
		"HTTP/1.0":       "HTTP/1.0 200 OK\r\n\r\nfine",
		"204 with body":  "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nfine",
		"short body":     "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nfine",
		"first 103":      "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine",
		"gzip, unasked":  "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + zipped.String(),
		"broken chunks":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzzzz\r\n",
		"wrong encoding": "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 4\r\n\r\nfine",
	} {
		t.Run(name, func(t *testing.T) {
			url := serve(t, func(conn net.Conn) {
				defer conn.Close()
				if readRequest(conn, bufio.NewReader(conn)) == nil {
					io.WriteString(conn, answer)
				}
			})
			if got := send(t, here, url, 10*time.Second); got.Class != notify.Delivered || len(got.Response) > 4<<10*3 {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("a body that drips", func(t *testing.T) {
		url := serve(t, func(conn net.Conn) {
			defer conn.Close()
			if readRequest(conn, bufio.NewReader(conn)) != nil {
				return
			}
			_, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
			for ; err == nil; time.Sleep(10 * time.Millisecond) {
				_, err = io.WriteString(conn, "x")
			}
		})
		start := time.Now()
		if got := send(t, here, url, 300*time.Millisecond); got.Class != notify.Delivered || time.Since(start) > 5*time.Second {
			t.Errorf("after %s: %+v", time.Since(start), got)
		}
	})
	t.Run("only 1xx", func(t *testing.T) {
		url := serve(t, func(conn net.Conn) {
			defer conn.Close()
			if readRequest(conn, bufio.NewReader(conn)) == nil {
				io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\n\r\n")
			}
		})
		if got := send(t, here, url, 10*time.Second); got.Class != notify.Retry || got.Code != "no_answer" {
			t.Errorf("%+v", got)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		var major atomic.Int64
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { major.Store(int64(r.ProtoMajor)) }))
		server.EnableHTTP2 = true
		server.StartTLS()
		defer server.Close()
		pool := x509.NewCertPool()
		pool.AddCert(server.Certificate())
		s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, here), TLS: &tls.Config{RootCAs: pool}})
		defer s.Close()
		if got := s.Send(t.Context(), request(server.URL)); got.Class != notify.Delivered || major.Load() != 2 {
			t.Errorf("by HTTP/%d: %+v", major.Load(), got)
		}
	})
}

// A kept connection that dies under a request is not used for the same
// request again: whether it arrived is not known, and an attempt is one
// request.
func TestSendOnceOnDyingConnection(t *testing.T) {
	var requests atomic.Int64
	url := serve(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for readRequest(conn, r) == nil {
			if requests.Add(1)%2 == 0 {
				conn.Close()
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{Loopback: true})})
	defer s.Close()
	first, second := s.Send(t.Context(), request(url)), s.Send(t.Context(), request(url))
	if first.Class != notify.Delivered || second.Class != notify.Retry || second.Code != "no_answer" {
		t.Errorf("%+v, %+v", first, second)
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("two attempts made %d requests", n)
	}
}

// fakeDNS answers every query for an address with the next of these, and goes
// on with the last.
func fakeDNS(t *testing.T, addrs ...string) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 1500)
		for n := 0; ; {
			size, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:size]) != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			addr := netip.MustParseAddr(addrs[min(n, len(addrs)-1)])
			q := m.Questions[0]
			h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class}
			switch {
			case q.Type == dnsmessage.TypeA && addr.Is4():
				m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: addr.As4()}}}
				n++
			case q.Type == dnsmessage.TypeAAAA && addr.Is6():
				m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: addr.As16()}}}
				n++
			}
			if b, err := m.Pack(); err == nil {
				conn.WriteTo(b, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// The address counts at the moment of connecting, whatever the name meant
// when it was looked at before.
func TestSendRebinding(t *testing.T) {
	var reached atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer receiver.Close()
	_, port, err := net.SplitHostPort(receiver.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{
		"127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1", "100.100.100.200", "168.63.129.16",
		"0.1.2.3", "192.0.0.192", "198.18.0.1", "240.0.0.1", "255.255.255.255", "224.0.0.1", "::1", "::", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1",
		"2002:7f00:1::", "2001:0:7f00:1::", "::127.0.0.1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "5f00::1", "ff02::1",
	} {
		s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{}), Resolver: fakeDNS(t, addr)})
		if got := s.Send(t.Context(), request("http://rebind.example:"+port)); got.Class != notify.Final || got.Code != "blocked_address" || strings.Contains(got.Message, addr) {
			t.Errorf("%s: %+v", addr, got)
		}
		s.Close()
	}
	s := notify.NewSender(notify.SenderConfig{
		Guard: newGuard(t, notify.GuardConfig{}), Resolver: fakeDNS(t, "198.51.100.1", "8.8.8.8", "127.0.0.1"), Timeout: 300 * time.Millisecond,
	})
	defer s.Close()
	var codes []string
	for range 3 {
		codes = append(codes, s.Send(t.Context(), request("http://rebind.example:"+port)).Code)
	}
	if codes[0] != "blocked_address" || codes[1] == "blocked_address" || codes[2] != "blocked_address" {
		t.Errorf("a name that changes: %v", codes)
	}
	if reached.Load() != 0 {
		t.Error("the receiver on this machine was reached")
	}
}

// A proxy that does not work is our fault, not the receiver's.
func TestSendThroughProxy(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	status := http.StatusOK
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host == "" && r.Method != http.MethodConnect {
			t.Errorf("not a request to a proxy: %s %s", r.Method, r.URL)
		}
		w.WriteHeader(status)
	}))
	defer proxy.Close()
	through := func(proxy, to string) notify.Result {
		t.Helper()
		u, err := url.Parse(proxy)
		if err != nil {
			t.Fatal(err)
		}
		s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{}), ProxyURL: u})
		defer s.Close()
		return s.Send(t.Context(), request(to))
	}
	if got := through(proxy.URL, "http://hooks.example/"); got.Class != notify.Delivered {
		t.Errorf("%+v", got)
	}
	status = http.StatusProxyAuthRequired
	for _, to := range []string{"http://hooks.example/", "https://hooks.example/"} {
		if got := through(proxy.URL, to); got.Class != notify.Local || got.Code != "proxy_failed" {
			t.Errorf("407, %s: %+v", to, got)
		}
	}
	status = http.StatusBadGateway
	if got := through(proxy.URL, "https://hooks.example/"); got.Class != notify.Retry {
		t.Errorf("502 for CONNECT: %+v", got)
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	if got := through("http://"+gone.Addr().String(), receiver.URL); got.Class != notify.Local || got.Code != "proxy_failed" {
		t.Errorf("no proxy: %+v", got)
	}
}

// A name that can't be looked up is the receiver's fault; when it is so with
// all of them, it is ours, and costs no attempt.
func TestSendWithoutNameServer(t *testing.T) {
	away := true
	answering := fakeDNS(t, "127.0.0.1")
	resolver := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if away {
			return nil, errors.New("the name server is away")
		}
		return answering.Dial(ctx, network, addr)
	}}
	s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{}), Resolver: resolver})
	defer s.Close()
	try := func(host string) string { return s.Send(t.Context(), request("https://"+host+"/")).Code }
	var codes []string
	for _, host := range []string{"a.example", "a.example", "b.example", "c.example", "a.example"} {
		codes = append(codes, try(host))
	}
	away = false
	codes = append(codes, try("d.example"))
	away = true
	codes = append(codes, try("a.example"))
	want := []string{"dns_failed", "dns_failed", "dns_failed", "dns_away", "dns_away", "blocked_address", "dns_failed"}
	if !slices.Equal(codes, want) {
		t.Errorf("got %v, want %v", codes, want)
	}
}
