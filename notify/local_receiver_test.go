package notify_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"coatcheck/notify"
	"coatcheck/notify/webhook"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Only the exact URL of a receiver inside the process is handed over. All
// others go out, where the guard stands.
func TestLocalReceiver(t *testing.T) {
	for url, want := range map[string]bool{
		notify.LocalURL("06f4"):                       true,
		"https://06f4.receiver.invalid":               false, // as it is never made
		"https://06f4.receiver.invalid/x":             false,
		"https://06f4.receiver.invalid/?x":            false,
		"https://06f4.receiver.invalid:443/":          false,
		"https://user@06f4.receiver.invalid/":         false,
		"http://06f4.receiver.invalid/":               false,
		"https://a.b.receiver.invalid/":               false,
		"https://.receiver.invalid/":                  false,
		"https://receiver.invalid/":                   false,
		"https://06f4.receiver.invalid.example.test/": false,
		"https://127.0.0.1/":                          false,
		"https://[::1]:6379/.receiver.invalid/":       false,
	} {
		local := false
		s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{}), Local: roundTripper(func(r *http.Request) (*http.Response, error) {
			local = true
			return &http.Response{StatusCode: http.StatusOK, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		})})
		result := s.Send(t.Context(), notify.Request{ID: "msg_1", URL: url, Body: []byte("{}"), Keys: []webhook.Key{webhook.NewKey(webhook.V1)}})
		s.Close()
		if local != want || (result.Class == notify.Delivered) != want {
			t.Errorf("%s: handed over %t, want %t; %+v", url, local, want, result)
		}
	}
}

// The local receiver's trouble is that of a receiver.
func TestLocalReceiverFailures(t *testing.T) {
	s := notify.NewSender(notify.SenderConfig{Guard: newGuard(t, notify.GuardConfig{}), Local: roundTripper(func(*http.Request) (*http.Response, error) {
		return nil, errors.New("no database")
	})})
	defer s.Close()
	if result := s.Send(t.Context(), notify.Request{ID: "msg_1", URL: notify.LocalURL("06f4"), Body: []byte("{}"), Keys: []webhook.Key{webhook.NewKey(webhook.V1)}}); result.Class != notify.Retry || strings.Contains(result.Message, "database") {
		t.Errorf("got %+v", result)
	}
}
