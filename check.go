package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"coatcheck/jobs/store"
)

// isAny accepts any value. Like the functions below, it checks the text of a setting.
func isAny(string) error { return nil }

// isSecretKey does not quote the key in its errors.
func isSecretKey(s string) error {
	if len(s) < store.MinSecret {
		return fmt.Errorf("expected at least %d random characters, such as the output of `openssl rand -base64 32`", store.MinSecret)
	}
	return nil
}

func isAddr(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("expected an address with a port, such as 127.0.0.1:5000")
	}
	return nil
}

func isOrigin(s string) error {
	u, err := url.Parse(strings.TrimSuffix(s, "/"))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("expected a URL without a path, such as https://jobs.example.com")
	}
	return nil
}

// isURL checks a URL. The URL may contain a password, so errors quote no part of it.
// It rejects passwords with an unencoded # or /, because they would end up in the host
// or database name, which later errors quote.
func isURL(schemes ...string) func(string) error {
	return func(s string) error {
		scheme, _, _ := strings.Cut(strings.ToLower(s), "://")
		if !slices.Contains(schemes, scheme) {
			return fmt.Errorf("expected a URL that begins with %s://", schemes[0])
		}
		u, err := url.Parse(s)
		if err != nil || strings.ContainsRune(s, '#') || strings.ContainsRune(u.EscapedPath(), '@') || hasKey(u.Query(), '@') {
			return errors.New("expected a URL in which special characters of the user name and password are encoded: # as %23, % as %25, / as %2F, : as %3A, ? as %3F, @ as %40")
		}
		if cmp.Or(u.Host, u.Path) == "" {
			return fmt.Errorf("expected a URL with a host, such as %s://host", schemes[0])
		}
		return nil
	}
}

// hasKey reports whether a parameter name in the query contains r.
func hasKey(query url.Values, r rune) bool {
	for name := range query {
		if strings.ContainsRune(name, r) {
			return true
		}
	}
	return false
}

func isOneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return errors.New("expected " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1])
		}
		return nil
	}
}

// isBucket checks the name of an S3 bucket.
func isBucket(s string) error {
	if !regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`).MatchString(s) {
		return errors.New("expected the name of a bucket: 3 to 63 of a-z, 0-9, dot and hyphen")
	}
	return nil
}

// isKeyPrefix checks a prefix of the keys of S3 objects.
func isKeyPrefix(s string) error {
	if !regexp.MustCompile(`^[\w.-]+(/[\w.-]+)*/?$`).MatchString(s) || len(s) > 500 {
		return errors.New("expected names separated by /, such as coatcheck/files/")
	}
	return nil
}
