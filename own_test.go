package main

import (
	"fmt"
	"strings"
	"testing"
)

// A callback to the server itself is refused, by whatever name, also without users.
func TestCallbackToItself(t *testing.T) {
	s := newShell(t)
	s.start("coatcheck")
	s.ready()
	port := s.at("")[strings.LastIndexByte(s.at(""), ':'):]
	for _, host := range []string{"127.0.0.1", "localhost", "localhost.", "[::1]", "127.0.0.2", "0.0.0.0"} {
		body := fmt.Sprintf(`{"input": {"a": 1, "b": 2}, "callback_url": "http://%s%s/v1/callback-keys"}`, host, port)
		if got := s.run(`curl -s http://127.0.0.1:5000/v1/services/maths.add/jobs --json '` + body + `'`); !strings.Contains(got, "invalid-callback-url") {
			t.Errorf("%s: %s", host, got)
		}
	}
}

func TestOwnNames(t *testing.T) {
	c := defaults()
	c.PublicURL, c.Hosts = "https://jobs.example.com", []string{"jobs.internal", "10.1.2.3:8080"}
	got := strings.Join(ownAddresses(c), " ")
	for _, want := range []string{"jobs.example.com:443", "jobs.example.com:5000", "jobs.internal:5000", "jobs.internal:443", "jobs.internal:80", "10.1.2.3:8080"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is not in %s", want, got)
		}
	}
}
