package webhook_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"coatcheck/notify/webhook"
)

// The example of the Standard Webhooks specification.
func TestSignVector(t *testing.T) {
	key, err := webhook.ParseKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got, err := webhook.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`), []webhook.Key{key})
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; err != nil || got.Get("Webhook-Signature") != want {
		t.Errorf("%v, %v, want %s", got, err, want)
	}
}

// What we sign, others verify, and the other way round.
func TestSignInterop(t *testing.T) {
	secret, private := webhook.NewKey(webhook.V1), webhook.NewKey(webhook.V1a)
	now, body := time.Now(), []byte(`{"a":1}`)
	header, err := webhook.Sign("msg_1", now, body, []webhook.Key{secret, private})
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := standardwebhooks.NewWebhook(secret.Secret())
	if err != nil {
		t.Fatal(err)
	}
	if err := theirs.Verify(body, header); err != nil {
		t.Errorf("their verifier: %v", err)
	}
	signed := fmt.Appendf(nil, "msg_1.%d.%s", now.Unix(), body)
	_, v1a, _ := strings.Cut(header.Get("Webhook-Signature"), " v1a,")
	raw, err := base64.StdEncoding.DecodeString(v1a)
	public, err2 := base64.StdEncoding.DecodeString(strings.TrimPrefix(private.PublicKey(), "whpk_"))
	if err != nil || err2 != nil || !ed25519.Verify(public, signed, raw) {
		t.Errorf("v1a does not verify: %v, %v", err, err2)
	}
	var jwk struct{ Kty, Crv, X, Kid string }
	if err := json.Unmarshal(private.JWK(), &jwk); err != nil || jwk.Kty != "OKP" || jwk.Crv != "Ed25519" || jwk.X != base64.RawURLEncoding.EncodeToString(public) || jwk.Kid == "" {
		t.Errorf("JWK = %s", private.JWK())
	}

	sig, err := theirs.Sign("msg_1", now, body)
	if err != nil {
		t.Fatal(err)
	}
	good := func() http.Header {
		return http.Header{"Webhook-Id": {"msg_1"}, "Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {sig}}
	}
	if err := webhook.Verify(secret.Secret(), good(), body, now); err != nil {
		t.Errorf("our verifier: %v", err)
	}
	for _, key := range []string{secret.Secret(), private.PublicKey()} {
		if err := webhook.Verify(key, header, body, now); err != nil {
			t.Errorf("our own: %v", err)
		}
	}
	for name, change := range map[string]func(h http.Header) ([]byte, time.Time, string){
		"other body": func(http.Header) ([]byte, time.Time, string) { return []byte("{}"), now, secret.Secret() },
		"other id": func(h http.Header) ([]byte, time.Time, string) {
			h.Set("Webhook-Id", "msg_2")
			return body, now, secret.Secret()
		},
		"other key": func(http.Header) ([]byte, time.Time, string) {
			return body, now, webhook.NewKey(webhook.V1).Secret()
		},
		"no key":        func(http.Header) ([]byte, time.Time, string) { return body, now, "" },
		"empty secret":  func(http.Header) ([]byte, time.Time, string) { return body, now, "whsec_" },
		"too old":       func(http.Header) ([]byte, time.Time, string) { return body, now.Add(6 * time.Minute), secret.Secret() },
		"from later on": func(http.Header) ([]byte, time.Time, string) { return body, now.Add(-6 * time.Minute), secret.Secret() },
		"no signature": func(h http.Header) ([]byte, time.Time, string) {
			h.Del("Webhook-Signature")
			return body, now, secret.Secret()
		},
		"other scheme": func(h http.Header) ([]byte, time.Time, string) {
			h.Set("Webhook-Signature", "v2"+sig[2:])
			return body, now, secret.Secret()
		},
		"no time": func(h http.Header) ([]byte, time.Time, string) {
			h.Set("Webhook-Timestamp", "now")
			return body, now, secret.Secret()
		},
	} {
		h := good()
		b, at, key := change(h)
		if err := webhook.Verify(key, h, b, at); err == nil {
			t.Errorf("%s: verified", name)
		}
	}
	for _, s := range []string{"", "whsec_", "whsec_c2hvcnQ=", "whsk_c2hvcnQ=", "whsec_!", "secret"} {
		if _, err := webhook.ParseKey(s); err == nil || s != "" && strings.Contains(err.Error(), "c2hvcnQ") {
			t.Errorf("ParseKey(%q): %v", s, err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s", secret, secret, secret, private); strings.Contains(text, "wh") {
		t.Errorf("printed: %s", text)
	}
	if _, err := webhook.Sign("msg_1", now, body, nil); err == nil {
		t.Error("signed without a key")
	}
	if _, err := webhook.Sign("a.b", now, body, []webhook.Key{secret}); err == nil {
		t.Error("signed an id with a dot")
	}
}

// Whatever a receiver is sent, Verify answers, and accepts no more than what
// the key signed.
func FuzzVerify(f *testing.F) {
	f.Add("msg_1", "1614265330", "v1,AAAA v1a,AAAA", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", []byte("{}"))
	f.Add("", "-1", "v1,", "whpk_", []byte(nil))
	now := time.Unix(1614265330, 0)
	f.Fuzz(func(t *testing.T, id, timestamp, signature, key string, body []byte) {
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		if webhook.Verify(key, header, body, now) == nil {
			t.Errorf("accepted %v", header) // nobody guesses a signature
		}
		k := webhook.NewKey(webhook.V1)
		signed, err := webhook.Sign(id, now, body, []webhook.Key{k})
		if err != nil {
			return // the id has a dot
		}
		signed.Set("Webhook-Signature", signature+" "+signed.Get("Webhook-Signature"))
		if err := webhook.Verify(k.Secret(), signed, body, now); err != nil {
			t.Errorf("did not accept %v: %v", signed, err)
		}
	})
}
