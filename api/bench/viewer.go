package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"coatcheck/api/client"
)

// A viewer reads a job's events over a connection of its own, with so
// little memory that one process can have ten thousand.
type viewer struct{ conn net.Conn }

// openViewer asks for the events at a URL.
func openViewer(ctx context.Context, events string) (*viewer, error) {
	u, err := url.Parse(events)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	dialer := net.Dialer{}
	var conn net.Conn
	if u.Scheme == "https" {
		conn, err = (&tls.Dialer{NetDialer: &dialer}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443")))
	} else {
		conn, err = dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "80")))
	}
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", u.RequestURI(), u.Host); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &viewer{conn: conn}, nil
}

// follow hands on events until the stream ends, ctx is done or handle returns
// an error.
func (v *viewer) follow(ctx context.Context, handle func(name string, data []byte) error) error {
	defer v.conn.Close()
	defer context.AfterFunc(ctx, func() { v.conn.Close() })()
	reader := bufio.NewReaderSize(v.conn, 1024)
	resp, err := http.ReadResponse(reader, nil)
	if err != nil {
		return fmt.Errorf("open a stream: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what has come tells enough
		return client.NewProblemError(resp.StatusCode, body)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 512), 1<<20)
	name := ""
	for lines.Scan() {
		line := lines.Bytes()
		if rest, ok := bytes.CutPrefix(line, []byte("event: ")); ok {
			name = string(rest)
		} else if data, ok := bytes.CutPrefix(line, []byte("data: ")); ok {
			if err := handle(name, data); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}
