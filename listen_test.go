package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode"

	"coatcheck/notify/webhook"
)

// What strangers send to `coatcheck listen` does not steer the terminal.
func TestListenPrintsNoControlCharacters(t *testing.T) {
	var out bytes.Buffer
	l := &listener{program: &program{stdout: &out}, reply: reply{status: http.StatusNoContent}, loadKeys: func() ([]webhook.Key, error) { return nil, nil }, done: make(chan struct{})}
	r := httptest.NewRequest(http.MethodPost, "/%1b%5d0;PWNED%07%1b%5b2J%0aPOST%20/forged", strings.NewReader("{\"a\": \"\u009b31m \u202e \u2028 fine ü\"}"))
	r.Header.Set("Webhook-Id", "x\u009b31m")
	r.Header.Set("Webhook-Signature", "v1,\x1b[2J")
	l.ServeHTTP(httptest.NewRecorder(), r)
	r = httptest.NewRequest(http.MethodPost, "/", strings.NewReader("\x1b[2J no JSON"))
	l.ServeHTTP(httptest.NewRecorder(), r)
	got := out.String()
	if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }) || strings.Contains(got, "\nPOST /forged") {
		t.Errorf("printed %q", got)
	}
	if !strings.Contains(got, "PWNED") || !strings.Contains(got, "fine ü") {
		t.Errorf("printed %q", got)
	}
}
