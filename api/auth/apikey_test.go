package auth

import (
	"regexp"
	"strings"
	"testing"
)

func TestNewAPIKey(t *testing.T) {
	key, hash, err := NewAPIKey()
	if err != nil {
		t.Fatal(err)
	}
	if want := regexp.MustCompile(`^ck_[\w-]{43}$`); !want.MatchString(key) {
		t.Errorf("got key %s, want %s", key, want)
	}
	if want := regexp.MustCompile(`^sha256:[0-9a-f]{64}$`); !want.MatchString(hash) {
		t.Errorf("got hash %s, want %s", hash, want)
	}
	if other, _, _ := NewAPIKey(); other == key {
		t.Errorf("got key %s twice", key)
	}
}

// The hash is of the whole key, as `printf %s ck_… | sha256sum` has it.
func TestAPIKeyVector(t *testing.T) {
	keys := apiKeys{}
	if err := keys.add("ci", "sha256:c9f5519efbf0cabf1069dacaca293039da2c37ff68735c84070658a295c68ab6"); err != nil {
		t.Fatal(err)
	}
	if name, ok := keys.user("ck_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"); !ok || name != "ci" {
		t.Errorf("got %q, %v, want ci, true", name, ok)
	}
	for _, key := range []string{"", "ck_", "ck_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"} {
		if name, ok := keys.user(key); ok {
			t.Errorf("key %q: got %q, want none", key, name)
		}
	}
}

func TestAPIKeyHashes(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	for hash, want := range map[string]bool{
		"sha256:" + sum:                  true,
		"sha256:" + strings.ToUpper(sum): true,
		sum:                              false,
		"sha256:":                        false,
		"sha256:" + sum[2:]:              false,
		"sha256:" + sum + "ab":           false,
		"sha256:" + sum[1:] + "x":        false,
		"sha512:" + sum:                  false,
		"":                               false,
	} {
		if err := (apiKeys{}).add("ci", hash); (err == nil) != want {
			t.Errorf("hash %q: got error %v, want accepted %v", hash, err, want)
		}
	}
}
