package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"coatcheck/api/auth"
	"coatcheck/api/client"
	"coatcheck/jobs/keys"
	"coatcheck/notify/webhook"
)

// A listener receives callbacks and prints them.
type listener struct {
	*program
	addr, user string
	count      int
	reply      reply

	mu       sync.Mutex
	keys     []webhook.Key
	loadKeys func() ([]webhook.Key, error)
	received int
	done     chan struct{} // closed after count callbacks
}

// run listens until count callbacks were received or ctx is done.
func (l *listener) run(ctx context.Context, c *config) error {
	if err := l.reply.check(); err != nil {
		return &usageError{fmt.Errorf("--%w", err)}
	}
	l.done = make(chan struct{})
	l.loadKeys = func() (found []webhook.Key, err error) {
		err = withKeys(ctx, c, func(ring *keys.Keyring) error {
			found, err = ring.Signing(ctx, cmp.Or(l.user, auth.LocalUser))
			return err
		})
		return found, err
	}
	ln, err := listenTCP(ctx, l.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.stderr, "Listening for callbacks at http://%s/\n", ln.Addr())
	server := &http.Server{
		Handler: l, ReadTimeout: 10 * time.Second, WriteTimeout: maxDelay + 10*time.Second,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(ln) }()
	select {
	case <-ctx.Done():
	case <-l.done:
	case err := <-failed:
		return fmt.Errorf("listen: %w", err)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(grace)
	if serveErr := <-failed; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

const (
	// maxCallback is the maximum size of a callback.
	maxCallback = 4 << 20
	maxDelay    = 5 * time.Minute
)

// A reply describes how a listener responds.
type reply struct {
	status int
	delay  time.Duration
}

func (r reply) check() error {
	if r.status < 200 || r.status > 599 {
		return errors.New("status: expected 200 to 599")
	}
	if r.delay < 0 || r.delay > maxDelay {
		return fmt.Errorf("delay: expected 0s to %s", maxDelay)
	}
	return nil
}

// withQuery returns the reply with the status and delay in the query, if any.
func (r reply) withQuery(query url.Values) (reply, error) {
	var err error
	if s := query.Get("status"); s != "" {
		if r.status, err = strconv.Atoi(s); err != nil {
			return r, errors.New("status: expected 200 to 599")
		}
	}
	if s := query.Get("delay"); s != "" {
		if r.delay, err = time.ParseDuration(s); err != nil {
			return r, errors.New("delay: expected a duration such as 10s")
		}
	}
	return r, r.check()
}

// ServeHTTP prints a callback and responds to it. The query of the URL, as in
// /?status=503&delay=10s, overrides the command line.
func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCallback))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	reply, err := l.reply.withQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	l.print(r, body)
	select {
	case <-time.After(reply.delay):
	case <-r.Context().Done():
	}
	if reply.status >= 300 && reply.status < 400 {
		w.Header().Set("Location", "/redirected")
	}
	w.WriteHeader(reply.status)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.received++; l.received == l.count {
		close(l.done)
	}
}

// print prints a callback.
func (l *listener) print(r *http.Request, body []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Anyone may send a request with terminal control sequences, so make it printable.
	line := fmt.Sprintf("%s %s (%s) signature: %s", r.Method, r.URL.Path, r.Header.Get("Webhook-Id"), l.verify(r.Header, body))
	fmt.Fprintln(l.stdout, strings.ReplaceAll(client.Printable(line), "\n", " "))
	var pretty bytes.Buffer
	if json.Indent(&pretty, body, "", "  ") != nil {
		pretty.Reset()
		fmt.Fprintf(&pretty, "%q", body)
	}
	fmt.Fprintln(l.stdout, client.Printable(pretty.String()))
}

// verify describes whether a callback's signature is valid.
func (l *listener) verify(header http.Header, body []byte) string {
	verdict := "not verified, there are no keys"
	for range 2 {
		var valid []string
		for _, k := range l.keys {
			if err := webhook.Verify(cmp.Or(k.PublicKey(), k.Secret()), header, body, time.Now()); err != nil {
				verdict = "INVALID: " + err.Error()
			} else {
				valid = append(valid, k.Scheme())
			}
		}
		if len(valid) > 0 {
			return "valid (" + strings.Join(valid, ", ") + ")"
		}
		// There may be new keys.
		var err error
		if l.keys, err = l.loadKeys(); err != nil {
			return "not verified, cannot load keys: " + err.Error()
		}
	}
	return verdict
}

func (p *program) listenCommand() *cobra.Command {
	l := &listener{program: p}
	cmd := &cobra.Command{
		Use: "listen", Short: "Receive and print callbacks, for testing", Args: noArguments,
		Long: "Receives callbacks and prints them. Verifies their signatures with the keys in the database, if that is reachable.\n" +
			"The callback URL can set the response: http://127.0.0.1:5001/?status=503&delay=10s.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := p.configure(cmd)
			if err != nil {
				return err
			}
			return l.run(cmd.Context(), c)
		},
	}
	cmd.Flags().StringVar(&l.addr, "addr", "127.0.0.1:5001", "address to listen on")
	cmd.Flags().IntVar(&l.count, "count", 0, "exit after this many callbacks; 0 means never")
	cmd.Flags().StringVar(&l.user, "user", "", "user whose callbacks to verify")
	cmd.Flags().IntVar(&l.reply.status, "status", 204, "response status")
	cmd.Flags().DurationVar(&l.reply.delay, "delay", 0, "delay before the response")
	addFlags(cmd, "data", "database_url")
	return cmd
}
