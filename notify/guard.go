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

// A GuardConfig says which addresses callbacks may reach beside public ones.
type GuardConfig struct {
	// Allow names what is allowed although it is not public: networks such as
	// "10.1.0.0/16", hosts such as "hooks.internal", "*.internal" or
	// "127.0.0.1", each but the network with ":port" if only that. What is
	// allowed may be called over http.
	Allow []string
	// Loopback allows this machine's loopback addresses, over http too.
	Loopback bool
	// Own are hosts with ports that this server is reached at; callbacks to
	// them would be loops.
	Own []string
	// Listens are addresses, such as "127.0.0.1:5000", at which this server
	// listens. All addresses of this machine count as its own with their ports.
	Listens []string
}

// A Guard decides what callbacks may reach, by the form of their URL and again
// by the address of each connection: what a name resolves to when it is
// dialed is what counts.
type Guard struct {
	public   *ssrf.Guardian
	networks []netip.Prefix
	hosts    []hostPort
	own      *own
}

type hostPort struct{ host, port string } // port "" for any

// neverAllowed can't be reached whatever is allowed: there are services that
// hand out credentials to whoever asks from inside a cloud.
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

// deniedPorts speak other protocols, which an HTTP request might confuse.
var deniedPorts = []string{"22", "23", "25", "53", "110", "143", "465", "587", "993", "995", "2375", "2376", "3306", "5432", "6379", "9200", "11211", "27017"}

// NewGuard returns a guard. Its error names every bad entry.
func NewGuard(c GuardConfig) (*Guard, error) {
	g := &Guard{public: ssrf.New(ssrf.WithAnyPort(), ssrf.WithNetworks("tcp4", "tcp6")), own: newOwn(c.Own, c.Listens)}
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

// Listen tells the guard of one more address at which this server listens.
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

// checkAddr returns an error that wraps ErrBlocked when a connection to the
// address must not be made. named says that the host is allowed by its name.
func (g *Guard) checkAddr(addr netip.Addr, named bool) error {
	// An address with a zone, or an IPv4 address in the clothes of IPv6, is
	// not what it looks like.
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

// DialContext connects to addr, for an [http.Transport], and refuses what the
// guard does not allow at the moment the address is known.
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
