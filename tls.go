package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateCheck is how often the files of a certificate are looked at.
const certificateCheck = time.Second

// A certificate is read from two files of PEM, and again when they change, so
// that renewing it needs no restart.
type certificate struct {
	cert, key string
	logger    *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamps  [2]time.Time // of the files that current is from
	checked time.Time
}

// openCertificate reads a certificate and its private key.
func openCertificate(cert, key string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, logger: logger, checked: time.Now()}
	if err := c.read(); err != nil {
		return nil, &usageError{fmt.Errorf("%w; tls.cert and tls.key (TLS_CERT, TLS_KEY) name files in PEM", err)}
	}
	return c, nil
}

// config returns a server's configuration: TLS 1.2 at least, HTTP/2 first.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.get}
}

// reload reads the files again, whether or not they have changed. After an error
// the certificate stays the one before.
func (c *certificate) reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// get returns the certificate for a handshake. One that can't be read keeps
// the one before.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateCheck {
		c.checked = time.Now()
		if stamps, err := c.look(); stamps != c.stamps { // none, when they can't be seen
			if err == nil {
				err = c.read()
			}
			if err != nil {
				c.logger.ErrorContext(hello.Context(), "certificate not read again, the one before goes on", "err", err)
			} else {
				c.logger.InfoContext(hello.Context(), "certificate read again", "file", c.cert)
			}
			c.stamps = stamps // said once for each change
		}
	}
	return c.current, nil
}

// read reads the files.
func (c *certificate) read() error {
	stamps, err := c.look()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return fmt.Errorf("tls: read certificate: %w", err)
	}
	c.current, c.stamps = &pair, stamps
	return nil
}

// look returns when the files were changed last.
func (c *certificate) look() (stamps [2]time.Time, err error) {
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return stamps, fmt.Errorf("tls: read certificate: %w", err)
		}
		stamps[i] = info.ModTime()
	}
	return stamps, nil
}
