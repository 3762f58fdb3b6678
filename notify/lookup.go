package notify

import (
	"net/netip"
	"sync"
)

// manyHosts is how many hosts must fail to be looked up, and none succeed in
// between, before that is taken for a fault of our own name server.
const manyHosts = 3

// A lookupHealth tells a name server of ours that is away from receivers whose
// own is.
type lookupHealth struct {
	mu     sync.Mutex
	failed map[string]struct{} // since the last look-up that went well
}

// note takes the outcome of looking up a host, and reports whether the fault
// is ours.
func (h *lookupHealth) note(host string, ok bool) (ours bool) {
	if _, err := netip.ParseAddr(host); err == nil {
		return false // an address needs no look-up
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
