package notify

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// maxURL is the maximum length of a callback URL, in bytes.
const maxURL = 2048

// A URLError is the reason why a callback URL is rejected. Its text may be shown to the caller that
// sent the URL.
type URLError struct{ Reason string }

// Error implements error.
func (e *URLError) Error() string { return e.Reason }

// CheckURL returns the normalized callback URL, or a [*URLError]. It does not resolve names: their
// addresses are checked when they are dialed.
func (g *Guard) CheckURL(raw string) (string, error) {
	refuse := func(format string, args ...any) (string, error) {
		return "", &URLError{fmt.Sprintf(format, args...)}
	}
	switch {
	case len(raw) > maxURL:
		return refuse("the URL is longer than %d bytes", maxURL)
	case !utf8.ValidString(raw) || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f }):
		return refuse("the URL has spaces, backslashes, control characters or invalid UTF-8")
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return refuse("expected an absolute URL such as https://example.com/hook")
	}
	if u.User != nil {
		return refuse("the URL must not contain a user name or password: they would end up in logs")
	}
	if u.Fragment != "" || strings.HasSuffix(raw, "#") {
		return refuse("the URL must not have a fragment (#…)")
	}
	host, port, explicit := u.Hostname(), u.Port(), u.Port() != ""
	if strings.Contains(host, "%") || strings.HasSuffix(u.Host, ":") {
		return refuse("the host is not valid")
	}
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	addr, addrErr := netip.ParseAddr(host)
	if addrErr != nil {
		if host, err = idnaLookup(host); err != nil || host == "" || numericHost(host) {
			return refuse("the host is not a valid name")
		}
	} else {
		host = addr.Unmap().String()
	}
	named := g.allowsHost(host, port)
	allowed := named || addrErr == nil && g.allowsAddr(addr.Unmap())
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return refuse("the port is not a number from 1 to 65535")
	}
	if !allowed && (number < 1024 && number != 80 && number != 443 || slices.Contains(deniedPorts, port)) {
		return refuse("port %s is not allowed: use 443, 80, or one from 1024 that is no database's or mail server's",
			port)
	}
	if u.Scheme == "http" && !allowed {
		return refuse("expected https: a request over http can be read and changed on its way")
	}
	if addrErr == nil {
		if g.checkAddr(addr, named) != nil {
			return refuse("the address is private, local or reserved: this server calls public addresses only")
		}
	} else if !allowed && !strings.Contains(strings.TrimSuffix(host, "."), ".") || !allowed && slices.ContainsFunc([]string{".local", ".internal", ".localhost"}, func(s string) bool { return strings.HasSuffix(host, s) }) {
		return refuse("the host is a name of a private network: this server calls public addresses only")
	}
	if g.own.hasName(host, port) {
		return refuse("the URL is this server's own")
	}
	u.Host = host
	switch {
	case explicit:
		u.Host = net.JoinHostPort(host, port)
	case strings.Contains(host, ":"):
		u.Host = "[" + host + "]"
	}
	return u.String(), nil
}

// hostNames maps host names like the WHATWG URL standard ("domain to ASCII"): UTS #46 with
// CheckHyphens and UseSTD3ASCIIRules false. Container names may contain underscores, and names of
// preview deployments may have two hyphens in the third position.
var hostNames = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false),
	idna.CheckHyphens(false))

// idnaLookup returns the name in ASCII and lowercase. It rejects other characters that the standard
// allows, such as ! and $, because no name with them can be looked up.
func idnaLookup(name string) (string, error) {
	ascii, err := hostNames.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil || len(ascii) > 253 || strings.Contains(ascii, "..") || strings.ContainsFunc(ascii, unusualInHost) {
		return "", fmt.Errorf("%.40q is no host name", name)
	}
	return ascii, nil
}

func unusualInHost(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

// numericHost reports whether the last label is a number, which makes the host an unusual notation
// of an IPv4 address (WHATWG URL, "ends in a number").
func numericHost(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

// RedactURL returns the URL without user info, query and fragment, which may be secret, for logs.
func RedactURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "an unreadable URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}
