package main

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"coatcheck/jobs/jobstest"
)

// The server speaks HTTP/2 over TLS, takes a renewed certificate without a
// restart, and keeps the one it has when the new one is broken.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := jobstest.Certificate(t, dir, 1)
	long := time.Now().Add(-time.Hour)
	for _, name := range []string{cert, key} {
		if err := os.Chtimes(name, long, long); err != nil {
			t.Fatal(err)
		}
	}
	s := newShell(t)
	s.env = append(s.env, "TLS_CERT="+cert, "TLS_KEY="+key)
	s.start("coatcheck")
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
	serial := func() (int64, string) {
		resp, err := client.Get("https://" + s.addr + "/readyz")
		if err != nil {
			return 0, err.Error()
		}
		defer resp.Body.Close()
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64(), resp.Proto
	}
	until := func(want int64) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			got, proto := serial()
			if got == want && proto == "HTTP/2.0" {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("certificate %d, %s, want %d", got, proto, want)
			}
		}
	}
	until(1)
	jobstest.Certificate(t, dir, 2)
	until(2)

	c, err := openCertificate(cert, key, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cert, []byte("broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.checked = time.Time{}
	if got, err := c.get(new(tls.ClientHelloInfo)); err != nil || got != c.current || got == nil {
		t.Errorf("with a broken file: %v, %v", got, err)
	}
	if _, err := openCertificate(cert, key, nil); err == nil {
		t.Error("a broken certificate was taken at the start")
	}
}
