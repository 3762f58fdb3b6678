package jobs

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// A digest is one short line of text, whatever the input is.
func TestDigest(t *testing.T) {
	for input, want := range map[string]string{
		`{"seconds": 2, "name": "Ada"}`:             "seconds: 2, name: Ada",
		`{"a": {"b": [1, 2.50]}, "c": null}`:        `a: {"b":[1,2.50]}, c: null`,
		`{"text": "two\nlines\tand a \u0000 byte"}`: "text: two lines and a byte",
		`{"file": "upload_1", "width": 320}`:        "file: in.mov, width: 320",
		`{}`:                                        "",
		``:                                          "",
		`[1]`:                                       "",
		`{"x": "` + strings.Repeat("ä", 1000) + `"}`: "x: …",
		`{"x": "` + strings.Repeat("ä", 100) + `"}`:  "x: " + strings.Repeat("ä", 77) + "…",
	} {
		if got := Digest(json.RawMessage(input), map[string]File{"upload_1": {Name: "in.mov"}}); got != want || len(got) > maxDigest || !utf8.ValidString(got) {
			t.Errorf("%.60s: %q, want %q", input, got, want)
		}
	}
}
