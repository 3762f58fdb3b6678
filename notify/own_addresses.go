package notify

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// ownAddresses contains the addresses at which this server is reached. A callback to one of them
// would be a request of the server to itself, and without users a request with the rights of an
// admin.
type ownAddresses struct {
	mu    sync.Mutex // guards names and ports
	names []string   // hosts with ports, in lowercase and without a trailing dot
	ports []string   // ports on which the server listens on this machine
}

func newOwnAddresses(names, listens []string) *ownAddresses {
	o := new(ownAddresses)
	for _, name := range names {
		if host, port, err := net.SplitHostPort(name); err == nil {
			o.names = append(o.names, net.JoinHostPort(plainHost(host), port))
		}
	}
	for _, addr := range listens {
		o.listen(addr)
	}
	return o
}

// listen adds an address on which the server listens.
func (o *ownAddresses) listen(addr string) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "0" {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.names, o.ports = append(o.names, net.JoinHostPort(plainHost(host), port)), append(o.ports, port)
}

// hasName reports whether a host with a port is, as written, a name or an address of the server.
func (o *ownAddresses) hasName(host, port string) bool {
	host = plainHost(host)
	o.mu.Lock()
	named, local := slices.Contains(o.names, net.JoinHostPort(host, port)), slices.Contains(o.ports, port)
	o.mu.Unlock()
	if named || !local {
		return named
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && isThisMachine(addr)
}

// hasAddr reports whether the address belongs to this machine and the server listens on its port.
func (o *ownAddresses) hasAddr(target netip.AddrPort) bool {
	o.mu.Lock()
	local := slices.Contains(o.ports, strconv.Itoa(int(target.Port())))
	o.mu.Unlock()
	return local && isThisMachine(target.Addr())
}

// isThisMachine reports whether a connection to the address ends at this machine.
func isThisMachine(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if addr.IsLoopback() || addr.IsUnspecified() {
		return true
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	return slices.ContainsFunc(interfaces, func(a net.Addr) bool {
		network, ok := a.(*net.IPNet)
		if !ok {
			return false
		}
		ours, ok := netip.AddrFromSlice(network.IP)
		return ok && ours.Unmap() == addr
	})
}

// plainHost returns the canonical form of a host, for comparisons.
func plainHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(strings.Trim(host, "[]")), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().String()
	}
	if ascii, err := idnaLookup(host); err == nil {
		return ascii
	}
	return host
}
