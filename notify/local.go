package notify

import (
	"net/http"
	"net/url"
	"strings"
)

// localDomain is what the hosts of receivers inside the process end in. The
// top level domain "invalid" leads nowhere (RFC 6761), so nobody else can be
// meant by them and nothing is ever dialed.
const localDomain = ".receiver.invalid"

// LocalURL returns the URL of the receiver inside the process that has this
// id, of lower case letters and digits.
func LocalURL(id string) string { return "https://" + id + localDomain + "/" }

// LocalHost returns the id in a URL that [LocalURL] made.
func LocalHost(u *url.URL) (id string, ok bool) {
	id, ok = strings.CutSuffix(u.Host, localDomain)
	return id, ok && u.String() == LocalURL(id) && id != "" && !strings.Contains(id, ".")
}

// A switchboard hands requests to receivers inside the process over, and sends
// all others out.
type switchboard struct{ local, network http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s *switchboard) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, ok := LocalHost(req.URL); ok {
		return s.local.RoundTrip(req)
	}
	return s.network.RoundTrip(req)
}

// CloseIdleConnections is what [http.Client.CloseIdleConnections] calls.
func (s *switchboard) CloseIdleConnections() {
	if t, ok := s.network.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
