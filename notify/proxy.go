package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/proxy"
)

// A checkedProxy sends callbacks through a proxy. It passes the proxy addresses that the guard has
// checked, instead of names that the proxy would resolve itself.
type checkedProxy struct {
	url      *url.URL
	guard    *Guard
	resolver *net.Resolver
	tls      *tls.Config // for a proxy that is reached over TLS
}

// dial opens a tunnel through the proxy to an allowed address of addr.
func (p *checkedProxy) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	targets, err := p.guard.resolve(ctx, p.resolver, addr)
	if err != nil {
		return nil, err
	}
	for _, target := range targets {
		var conn net.Conn
		if conn, err = p.tunnel(ctx, network, target.String()); err == nil || errors.Is(err, errProxy) {
			return conn, err
		}
	}
	return nil, err
}

// A checkedTransport rejects requests that must not go through the proxy.
type checkedTransport struct {
	proxy     *checkedProxy
	transport *http.Transport
}

// RoundTrip implements [http.RoundTripper]. Over http the proxy gets the name, because it derives
// the Host header from it. The addresses of the name are checked first.
func (c *checkedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	port := r.URL.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[r.URL.Scheme]
	}
	addr := net.JoinHostPort(r.URL.Hostname(), port)
	if strings.EqualFold(addr, proxyAddr(c.proxy.url)) {
		return nil, ErrBlocked
	}
	if r.URL.Scheme == "http" {
		if _, err := c.proxy.guard.resolve(r.Context(), c.proxy.resolver, addr); err != nil {
			return nil, err
		}
	}
	return c.transport.RoundTrip(r)
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (c *checkedTransport) CloseIdleConnections() { c.transport.CloseIdleConnections() }

// proxyFor implements the Proxy function of an [http.Transport]. Requests over https use the tunnel
// of dial and need no further proxy.
func (p *checkedProxy) proxyFor(r *http.Request) (*url.URL, error) {
	if r.URL.Scheme == "http" {
		return p.url, nil
	}
	return nil, nil //nolint:nilnil // required by http.Transport
}

// dialHop connects to the proxy for requests over http, and through it for others.
func (p *checkedProxy) dialHop(ctx context.Context, network, addr string) (net.Conn, error) {
	if strings.EqualFold(addr, proxyAddr(p.url)) {
		return dialProxy(ctx, network, addr)
	}
	return p.dial(ctx, network, addr)
}

// tunnel connects through the proxy to the target, an address with a port.
func (p *checkedProxy) tunnel(ctx context.Context, network, target string) (net.Conn, error) {
	if strings.HasPrefix(p.url.Scheme, "socks5") {
		return p.socks(ctx, network, target)
	}
	conn, err := dialProxy(ctx, network, proxyAddr(p.url))
	if err != nil {
		return nil, err
	}
	raw := conn
	stop := context.AfterFunc(ctx, func() {
		raw.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection returns an error
	})
	defer stop()
	if p.url.Scheme == "https" {
		config := p.tls.Clone()
		config.ServerName, config.NextProtos = p.url.Hostname(), nil
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			conn.Close()
			return nil, fmt.Errorf("%w: %w", errProxy, err)
		}
		conn = secure
	}
	if err := p.connect(conn, target); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// connect requests a tunnel from an HTTP proxy.
func (p *checkedProxy) connect(conn net.Conn, target string) error {
	r := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: target}, Host: target,
		Header: http.Header{"User-Agent": {userAgent}},
	}
	if p.url.User != nil {
		password, _ := p.url.User.Password()
		r.Header.Set("Proxy-Authorization",
			"Basic "+base64.StdEncoding.EncodeToString([]byte(p.url.User.Username()+":"+password)))
	}
	if err := r.Write(conn); err != nil {
		return fmt.Errorf("connect through the proxy: %w", err)
	}
	answer := bufio.NewReader(conn)
	resp, err := http.ReadResponse(answer, r)
	if err != nil {
		return fmt.Errorf("connect through the proxy: %w", err)
	}
	resp.Body.Close() // the response to CONNECT has no body
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return errProxy
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the proxy answered %d", resp.StatusCode)
	case answer.Buffered() > 0:
		return errors.New("the proxy sent something before the receiver was asked")
	}
	return nil
}

// socks connects to the target through a SOCKS proxy.
func (p *checkedProxy) socks(ctx context.Context, network, target string) (net.Conn, error) {
	var auth *proxy.Auth
	if p.url.User != nil {
		password, _ := p.url.User.Password()
		auth = &proxy.Auth{User: p.url.User.Username(), Password: password}
	}
	dialer, err := proxy.SOCKS5(network, proxyAddr(p.url), auth, proxyDialer{})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errProxy, err)
	}
	contextDialer, ok := dialer.(proxy.ContextDialer)
	if !ok {
		return nil, errProxy
	}
	return contextDialer.DialContext(ctx, network, target)
}

// proxyDialer connects to a SOCKS proxy.
type proxyDialer struct{}

// Dial implements [proxy.Dialer].
func (proxyDialer) Dial(network, addr string) (net.Conn, error) {
	return dialProxy(context.Background(), network, addr)
}

// DialContext implements [proxy.ContextDialer].
func (proxyDialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return dialProxy(ctx, network, addr)
}

// proxyAddr returns the host and port of the proxy.
func proxyAddr(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443", "socks5": "1080"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// resolve returns the addresses of addr, a host with a port, that callbacks may reach. The error
// wraps [ErrBlocked] if there are none.
func (g *Guard) resolve(ctx context.Context, resolver *net.Resolver, addr string) ([]netip.AddrPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of %s: %w", host, err)
	}
	if g.own.hasName(host, port) {
		return nil, ErrBlocked
	}
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	addrs, err := resolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", host, err)
	}
	named := g.allowsHost(strings.ToLower(host), port)
	var allowed []netip.AddrPort
	for _, a := range addrs {
		target := netip.AddrPortFrom(a.Unmap(), uint16(number))
		if !g.own.hasAddr(target) && g.checkAddr(a, named) == nil {
			allowed = append(allowed, target)
		}
	}
	if allowed == nil {
		return nil, ErrBlocked
	}
	return allowed, nil
}
