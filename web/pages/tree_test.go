package pages

import (
	"encoding/json"
	"strings"
	"testing"
)

// A tree is made of objects and arrays only, and of those that are not too large.
func TestJSONTree(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a": 1}`: true, `[1]`: true, " [[]] ": true, `{}`: false, `[]`: false, `[ ]`: false, `"text"`: false, `12345`: false, ``: false, `[1`: false, `[1] 2`: false, `{"": null} }`: false,
		"[" + strings.Repeat("1,", maxNodes-2) + "1]": true, "[" + strings.Repeat("1,", maxNodes-1) + "1]": false,
		`["` + strings.Repeat("x", maxShown) + `"]`: false,
	} {
		if got := jsonTree([]byte(text)); (got != nil) != want {
			t.Errorf("%.40s: got %v", text, got)
		}
	}
}

// Whatever an output is, it has a tree only if it is valid JSON.
func FuzzJSONTree(f *testing.F) {
	f.Add(`{"a": [{"b": 1.50}, {"c": null}]}`)
	f.Add(`[[1, "x"], {}, true`)
	f.Add(`{"": null} }`)
	f.Fuzz(func(t *testing.T, s string) {
		if jsonTree([]byte(s)) != nil && !json.Valid([]byte(s)) {
			t.Errorf("%q has a tree", s)
		}
	})
}

// A file in CSV is a table until its format is broken, and only as long as the page shows.
func TestCSVTable(t *testing.T) {
	for _, tt := range []struct {
		text  string
		whole bool
		rows  int // -1: no table
		more  bool
	}{
		{"a,b\n1,2\n\"x\ny\",\"say \"\"hi\"\"\"\n", true, 2, false},
		{"a,b\n", true, 0, false},
		{"no columns\nat all\n", true, -1, false},
		{"Dear sir, madam,\nthis is a letter.\n", true, -1, false},
		{"a,b\n1,2\n3,4\n5", false, 1, true},
		{"a,b\n" + strings.Repeat("1,2\n", maxRows), true, maxRows, false},
		{"a,b\n" + strings.Repeat("1,2\n", maxRows+1), true, maxRows, true},
		{strings.Repeat("a,", maxColumns) + "a\n", true, -1, false},
	} {
		got := csvTable(tt.text, tt.whole)
		if (got == nil) != (tt.rows < 0) || got != nil && (len(got.Rows) != tt.rows || (got.More != "") != tt.more) {
			t.Errorf("%.40q: got %+v", tt.text, got)
		}
	}
}
