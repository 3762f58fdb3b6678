package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// certificateCheck is the minimum time between checks of the certificate files.
const certificateCheck = time.Second

// A certificate is a certificate with its private key, in two PEM files. It is reloaded
// when the files change, so renewing it needs no restart.
type certificate struct {
	cert, key string
	logger    *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamps  [2]time.Time // modification times of the files of current
	checked time.Time
}

// openCertificate reads a certificate and its private key.
func openCertificate(cert, key string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{cert: cert, key: key, logger: logger, checked: time.Now()}
	if err := c.read(); err != nil {
		return nil, &usageError{fmt.Errorf("%w; tls.cert and tls.key (TLS_CERT, TLS_KEY) must name PEM files", err)}
	}
	return c, nil
}

// config returns a server's configuration: at least TLS 1.2, preferably HTTP/2.
func (c *certificate) config() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, GetCertificate: c.get}
}

// reload reloads the files even if they have not changed. After an error, the previous
// certificate stays in use.
func (c *certificate) reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

// get returns the certificate for a handshake, after reloading changed files. If that
// fails, it returns the previous certificate.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) >= certificateCheck {
		c.checked = time.Now()
		if stamps, err := c.modTimes(); stamps != c.stamps { // zero if the files cannot be read
			if err == nil {
				err = c.read()
			}
			if err != nil {
				c.logger.ErrorContext(hello.Context(), "certificate not reloaded, the previous one stays in use", "err", err)
			} else {
				c.logger.InfoContext(hello.Context(), "certificate reloaded", "file", c.cert)
			}
			c.stamps = stamps // log once per change
		}
	}
	return c.current, nil
}

// read reads the files.
func (c *certificate) read() error {
	stamps, err := c.modTimes()
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

// modTimes returns the modification times of the files.
func (c *certificate) modTimes() (stamps [2]time.Time, err error) {
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return stamps, fmt.Errorf("tls: read certificate: %w", err)
		}
		stamps[i] = info.ModTime()
	}
	return stamps, nil
}
