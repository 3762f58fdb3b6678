package notify

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// ErrBlocked is the error of a connection that the guard refused.
var ErrBlocked = errors.New("the address is not allowed")

// A GuardConfig configures which addresses callbacks may reach in addition to public ones.
type GuardConfig struct {
	// Allow lists additional destinations: networks such as "10.1.0.0/16", and hosts such as
	// "hooks.internal", "*.internal" or "127.0.0.1". A host may have a ":port" suffix, to allow
	// only that port. Allowed destinations may also be called over http.
	Allow []string
	// Loopback allows this machine's loopback addresses, also over http.
	Loopback bool
	// Own lists the hosts with ports at which this server is reached. Callbacks to them are
	// refused, because they would be loops.
	Own []string
	// Listens lists the addresses, such as "127.0.0.1:5000", on which this server listens. With
	// these ports, all addresses of this machine count as its own.
	Listens []string
}

// A Guard restricts what callbacks may reach. It checks their URL, and again the address of each
// connection: the address that a name resolves to when it is dialed counts.
type Guard struct {
	public   *ssrf.Guardian
	networks []netip.Prefix
	hosts    []hostPort
	own      *ownAddresses
}

type hostPort struct{ host, port string } // an empty port matches any

// neverAllowed cannot be reached even if allowed: metadata services in clouds return credentials to
// any client inside the cloud.
var neverAllowed = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("168.63.129.16/32"),
	netip.MustParsePrefix("192.0.0.192/32"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("fd20:ce::254/128"),
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("::/128"),
}

// deniedPorts are ports of other protocols, which an HTTP request might confuse.
var deniedPorts = []string{
	"22", "23", "25", "53", "110", "143", "465", "587", "993", "995", "2375", "2376", "3306", "5432", "6379", "9200",
	"11211", "27017",
}

// NewGuard returns a guard. Its error lists every invalid entry.
func NewGuard(c GuardConfig) (*Guard, error) {
	g := &Guard{public: ssrf.New(ssrf.WithAnyPort(), ssrf.WithNetworks("tcp4", "tcp6")), own: newOwnAddresses(c.Own, c.Listens)}
	if c.Loopback {
		c.Allow = append(slices.Clone(c.Allow), "127.0.0.0/8", "::1/128", "localhost")
	}
	var errs []error
	for _, entry := range c.Allow {
		if err := g.allow(entry); err != nil {
			errs = append(errs, err)
		}
	}
	return g, errors.Join(errs...)
}

// Listen adds an address on which this server listens.
func (g *Guard) Listen(addr net.Addr) { g.own.listen(addr.String()) }

// allow adds an entry of GuardConfig.Allow.
func (g *Guard) allow(entry string) error {
	if strings.Contains(entry, "/") {
		network, err := netip.ParsePrefix(entry)
		if err != nil || network != network.Masked() {
			return fmt.Errorf("%q is not a network such as 10.1.0.0/16", entry)
		}
		g.networks = append(g.networks, network)
		return nil
	}
	host, port := entry, ""
	if h, p, err := net.SplitHostPort(entry); err == nil {
		host, port = h, p
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if _, err := netip.ParseAddr(host); err != nil {
		name := strings.TrimPrefix(host, "*.")
		if ascii, err := idnaLookup(name); err != nil || name == "" || ascii != name {
			return fmt.Errorf("%q is not a host such as hooks.internal or *.internal", entry)
		}
	}
	g.hosts = append(g.hosts, hostPort{host, port})
	return nil
}

// allowsHost reports whether the host is allowed by name.
func (g *Guard) allowsHost(host, port string) bool {
	return slices.ContainsFunc(g.hosts, func(a hostPort) bool {
		if a.port != "" && a.port != port {
			return false
		}
		if suffix, ok := strings.CutPrefix(a.host, "*"); ok {
			return strings.HasSuffix(host, suffix)
		}
		return a.host == host
	})
}

// allowsAddr reports whether the address is in an allowed network.
func (g *Guard) allowsAddr(addr netip.Addr) bool {
	return slices.ContainsFunc(g.networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// checkAddr returns an error that wraps ErrBlocked if a connection to the address is not allowed.
// named reports whether the host is allowed by name.
func (g *Guard) checkAddr(addr netip.Addr, named bool) error {
	// An address with a zone, or an IPv4-mapped IPv6 address, could disguise another address.
	if addr.Zone() != "" {
		return ErrBlocked
	}
	addr = addr.Unmap()
	if slices.ContainsFunc(neverAllowed, func(n netip.Prefix) bool { return n.Contains(addr) }) {
		return ErrBlocked
	}
	if named || g.allowsAddr(addr) {
		return nil
	}
	if err := g.public.SafeAddr(addr); err != nil {
		return ErrBlocked
	}
	return nil
}

// DialContext returns a dial function for an [http.Transport]. It refuses addresses that the guard
// does not allow once the name has been resolved.
func (g *Guard) DialContext(resolver *net.Resolver) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if g.own.hasName(host, port) {
			return nil, ErrBlocked
		}
		named := g.allowsHost(strings.ToLower(host), port)
		dialer := net.Dialer{
			Timeout:  5 * time.Second,
			Resolver: resolver,
			ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
				target, err := netip.ParseAddrPort(address)
				if err != nil {
					return ErrBlocked
				}
				if g.own.hasAddr(target) {
					return ErrBlocked
				}
				return g.checkAddr(target.Addr(), named)
			},
		}
		return dialer.DialContext(ctx, network, addr)
	}
}
