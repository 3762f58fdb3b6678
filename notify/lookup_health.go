package notify

import (
	"net/netip"
	"sync"
)

// manyHosts is how many different hosts must fail to be looked up, without a success in between,
// before our own name server is considered unavailable.
const manyHosts = 3

// A lookupHealth distinguishes an outage of our name server from one of a receiver's name server.
type lookupHealth struct {
	mu     sync.Mutex          // guards failed
	failed map[string]struct{} // hosts that failed since the last successful lookup
}

// note records the outcome of looking up a host. It reports whether the fault is ours.
func (h *lookupHealth) note(host string, ok bool) (ours bool) {
	if _, err := netip.ParseAddr(host); err == nil {
		return false // an address needs no lookup
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ok {
		clear(h.failed)
		return false
	}
	if h.failed == nil {
		h.failed = make(map[string]struct{}, manyHosts)
	}
	if len(h.failed) < manyHosts {
		h.failed[host] = struct{}{}
	}
	return len(h.failed) == manyHosts
}
