package notify

import (
	"net/http"
	"net/url"
	"strings"
)

// localDomain is the suffix of the hosts of receivers in this process. The top-level domain
// "invalid" never resolves (RFC 6761), so these names cannot belong to another host and are never
// dialed.
const localDomain = ".receiver.invalid"

// LocalURL returns the URL of the receiver in this process with this id, which consists of
// lowercase letters and digits.
func LocalURL(id string) string { return "https://" + id + localDomain + "/" }

// LocalHost returns the id in a URL that [LocalURL] returned.
func LocalHost(u *url.URL) (id string, ok bool) {
	id, ok = strings.CutSuffix(u.Host, localDomain)
	return id, ok && u.String() == LocalURL(id) && id != "" && !strings.Contains(id, ".")
}

// A switchboard passes requests to receivers in this process to local, and all others to network.
type switchboard struct{ local, network http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s *switchboard) RoundTrip(req *http.Request) (*http.Response, error) {
	if _, ok := LocalHost(req.URL); ok {
		return s.local.RoundTrip(req)
	}
	return s.network.RoundTrip(req)
}

// CloseIdleConnections is called by [http.Client.CloseIdleConnections].
func (s *switchboard) CloseIdleConnections() {
	if t, ok := s.network.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
