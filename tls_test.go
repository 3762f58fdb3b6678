package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// writeCertificate writes a certificate for this machine with a serial number
// and its key, as files that were changed at a time.
func writeCertificate(t *testing.T, dir string, serial int64, changed time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, changed, changed); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// The server speaks HTTP/2 over TLS, takes a renewed certificate without a
// restart, and keeps the one it has when the new one is broken.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, 1, time.Now().Add(-time.Hour))
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
	writeCertificate(t, dir, 2, time.Now())
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
