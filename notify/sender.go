package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"coatcheck/notify/webhook"
)

const (
	// readLimit is how many bytes of a response body are read. keepLimit is how many are kept.
	readLimit = 16 << 10
	keepLimit = 4 << 10
	// userAgent is the User-Agent header of callbacks.
	userAgent = "Coatcheck/1 (callbacks; Standard Webhooks 1.0)"
)

var (
	errSendTimeout = errors.New("the receiver took too long")
	errProxy       = errors.New("the proxy for callbacks does not work")
)

// A SenderConfig configures a [Sender].
type SenderConfig struct {
	Guard *Guard
	// Timeout limits a whole attempt, from the DNS lookup to the end of the response. Default 20
	// seconds.
	Timeout time.Duration
	// ProxyURL is a proxy for all callbacks. The proxy then decides what they may reach.
	// Environment variables are ignored.
	ProxyURL *url.URL
	// CheckForProxy resolves names and checks their addresses before a request is sent to the
	// proxy. Over https, the proxy gets the address instead of the name.
	CheckForProxy bool
	// Resolver resolves names. Default: the system's resolver.
	Resolver *net.Resolver
	// Local handles requests to a [LocalURL]; nil if there are none.
	Local http.RoundTripper
	// TLS is for tests with their own certificate authority.
	TLS *tls.Config
}

// A Sender sends callbacks, and fetches what callers name by a URL.
type Sender struct {
	client  *http.Client
	guard   *Guard
	timeout time.Duration
	proxied bool
	lookups lookupHealth
}

// A Request is a callback to send. Its body is sent unchanged.
type Request struct {
	ID   string // the webhook-id, the same for every attempt
	URL  string
	Body []byte
	Keys []webhook.Key
}

// A Result is the outcome of an attempt.
type Result struct {
	Class      Class
	StatusCode int    // 0 without a response
	Code       string // such as "ok", "http_500", "timeout" or "connect_failed"
	Message    string // a sentence without secrets, for the owner of the job
	RetryAfter time.Duration
	Timing     Timing
	Response   string // the beginning of the response body
	// RequestHeader and ResponseHeader are the headers of the request and of the response. Large
	// response headers are truncated.
	RequestHeader, ResponseHeader http.Header
}

// NewSender returns a sender.
func NewSender(c SenderConfig) *Sender {
	tlsConfig := c.TLS.Clone() // nil for nil
	if tlsConfig == nil {
		tlsConfig = new(tls.Config)
	}
	tlsConfig.MinVersion = tls.VersionTLS12
	transport := &http.Transport{
		DialContext:            c.Guard.DialContext(c.Resolver),
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    5 * time.Second,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
		DisableCompression:     true, // a small compressed response could expand to a huge one
		MaxResponseHeaderBytes: 16 << 10,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        time.Minute,
	}
	if c.ProxyURL != nil {
		transport.Proxy = http.ProxyURL(c.ProxyURL)
		transport.DialContext = dialProxy
		transport.OnProxyConnectResponse = checkProxy
	}
	var network http.RoundTripper = transport
	if c.ProxyURL != nil && c.CheckForProxy {
		checked := &checkedProxy{url: c.ProxyURL, guard: c.Guard, resolver: c.Resolver, tls: tlsConfig}
		transport.Proxy, transport.DialContext = checked.proxyFor, checked.dialHop
		network = &checkedTransport{checked, transport}
	}
	if c.Local != nil {
		network = &switchboard{local: c.Local, network: network}
	}
	return &Sender{
		client: &http.Client{
			Transport:     network,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		guard:   c.Guard,
		timeout: cmp.Or(c.Timeout, 20*time.Second),
		proxied: c.ProxyURL != nil,
	}
}

// dialProxy connects to the proxy. If the proxy is unavailable, that is not a receiver's fault.
func dialProxy(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProxy, err)
	}
	return conn, nil
}

// checkProxy checks a proxy's response to CONNECT.
func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
	if resp.StatusCode == http.StatusProxyAuthRequired {
		return errProxy
	}
	return nil
}

// Close closes idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send makes one attempt. All errors are reported in the result.
func (s *Sender) Send(ctx context.Context, r Request) Result {
	start := time.Now()
	attempt, cancel := context.WithTimeoutCause(ctx, s.timeout, errSendTimeout)
	defer cancel()
	timing := new(timer)
	result := s.send(timing.trace(attempt, start), r, start)
	if ctx.Err() != nil && result.Class != Delivered {
		// The process is stopping; it is unknown whether the request arrived.
		result = Result{Class: Local, Code: "canceled", Message: "the attempt was broken off"}
	}
	result.Timing = timing.stop(start)
	return result
}

func (s *Sender) send(ctx context.Context, r Request, now time.Time) Result {
	header, err := webhook.Sign(r.ID, now, r.Body, r.Keys)
	if err != nil {
		return Result{Class: Local, Code: "signing_failed", Message: "the callback could not be signed"}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return Result{Class: Final, Code: "invalid_url", Message: "the URL is not valid"}
	}
	// No Idempotency-Key: with one, net/http would retry the request by itself if a reused
	// connection breaks.
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", userAgent)
	resp, err := s.client.Do(req)
	if err != nil {
		result := s.attributeLookup(req.URL.Hostname(), classifyError(ctx, err))
		result.RequestHeader = header
		return result
	}
	s.lookups.note(req.URL.Hostname(), true)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusProxyAuthRequired && s.proxied {
		return classifyError(ctx, errProxy)
	}
	result := classifyStatus(resp)
	result.RequestHeader, result.ResponseHeader = header, clipHeader(resp.Header)
	// The status alone decides; errors in the body are ignored. The rest beyond the limit is not
	// read: the connection is closed.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, readLimit))
	result.Response = strings.ToValidUTF8(string(body[:min(len(body), keepLimit)]), "\uFFFD")
	return result
}

// attributeLookup turns a failed name lookup into a fault of our own if all lookups fail.
func (s *Sender) attributeLookup(host string, r Result) Result {
	switch r.Code {
	case "dns_failed":
		if s.lookups.note(host, false) {
			return Result{Class: Local, Code: "dns_away", Message: "no name can be looked up here at the moment"}
		}
	case "dns_not_found", "blocked_address", "connect_failed", "tls_certificate", "tls_failed", "no_answer":
		s.lookups.note(host, true) // the name server responded
	}
	return r
}

// clipHeader returns the first keepLimit bytes of a header, as valid UTF-8 that any database can
// store.
func clipHeader(h http.Header) http.Header {
	kept, size := make(http.Header), 0
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			if size += len(name) + len(value); size > keepLimit {
				return kept
			}
			kept.Add(name, strings.ToValidUTF8(value, "\uFFFD"))
		}
	}
	return kept
}
