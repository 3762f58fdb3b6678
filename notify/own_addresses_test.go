package notify_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

// machineAddress returns an address of this machine that others reach it at, or "".
func machineAddress() string {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if network, ok := a.(*net.IPNet); ok && !network.IP.IsLoopback() && network.IP.To4() != nil && !network.IP.IsLinkLocalUnicast() {
			return network.IP.String()
		}
	}
	return ""
}

// The server's own addresses are refused however they are written.
func TestGuardBlocksOwnAddresses(t *testing.T) {
	g := newGuard(t, notify.GuardConfig{
		Loopback: true, Allow: []string{"0.0.0.0/0", "jobs.internal", "*.localhost", "localhost", "Localhost:5000"},
		Own: []string{"Jobs.internal:5000", "jobs.example.com:443", "[2001:db8::1]:5000"}, Listens: []string{"127.0.0.1:5000"},
	})
	hosts := []string{"127.0.0.1", "localhost", "LOCALHOST", "localhost.", "a.localhost", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "127.0.0.2", "127.255.255.254", "0.0.0.0", "[::]", "jobs.internal", "JOBS.INTERNAL.", "[2001:db8::1]"}
	if addr := machineAddress(); addr != "" {
		hosts = append(hosts, addr)
	}
	for _, host := range hosts {
		if got, err := g.CheckURL("http://" + host + ":5000/v1/services/maths.add/jobs"); err == nil {
			t.Errorf("%s: %s", host, got)
		}
	}
	for _, url := range []string{"http://127.0.0.1:5001/", "http://localhost:5001/", "http://[::1]:5001/", "http://jobs.internal:5001/", "http://10.9.9.9:5000/"} {
		if _, err := g.CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := g.CheckURL("https://jobs.example.com./hook"); err == nil {
		t.Error("https://jobs.example.com./hook is not refused")
	}
}

// What a name leads to is looked at again when it is dialed, with the port that
// the server has in the end.
func TestGuardRefusesToDialOwnAddresses(t *testing.T) {
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls++ }))
	defer server.Close()
	port := server.URL[strings.LastIndexByte(server.URL, ':'):]
	g := newGuard(t, notify.GuardConfig{Loopback: true, Listens: []string{"127.0.0.1:0"}})
	g.Listen(server.Listener.Addr())
	s := notify.NewSender(notify.SenderConfig{Guard: g, Resolver: fakeDNS(t, "127.0.0.1"), Timeout: 5 * time.Second})
	defer s.Close()
	keys := []webhook.Key{webhook.NewKey(webhook.V1)}
	for _, host := range []string{"127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0", "[::ffff:127.0.0.1]", "rebind.example"} {
		if got := s.Send(t.Context(), notify.Request{ID: "msg_1", URL: "http://" + host + port + "/", Body: []byte("{}"), Keys: keys}); got.Code != "blocked_address" || calls != 0 {
			t.Errorf("%s: %+v", host, got)
		}
	}
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer other.Close()
	if got := s.Send(t.Context(), notify.Request{ID: "msg_1", URL: other.URL, Body: []byte("{}"), Keys: keys}); got.Class != notify.Delivered {
		t.Errorf("another server of this machine: %+v", got)
	}
}
