package main

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"coatcheck/jobs"
)

func isSomething(string) error { return nil }

// isSecretKey does not quote the key.
func isSecretKey(s string) error {
	if len(s) < jobs.MinSecret {
		return fmt.Errorf("expected at least %d random characters, such as `openssl rand -base64 32` prints", jobs.MinSecret)
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

// isURL does not quote the URL, which may have a password.
func isURL(schemes ...string) func(string) error {
	return func(s string) error {
		u, err := url.Parse(s)
		if err != nil || !slices.Contains(schemes, u.Scheme) || cmp.Or(u.Host, u.Path) == "" {
			return fmt.Errorf("expected a URL that begins with %s://", schemes[0])
		}
		return nil
	}
}

func isOneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return errors.New("expected " + strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1])
		}
		return nil
	}
}
