package pages

import (
	"strings"
	"testing"
	"unicode/utf8"

	"coatcheck/web"
)

// show writes the parts of a styled text as [class:text].
func show(parts []web.LogPart) string {
	var b strings.Builder
	for _, p := range parts {
		if p.Class == "" {
			b.WriteString(p.Text)
		} else {
			b.WriteString("[" + p.Class + ":" + p.Text + "]")
		}
	}
	return b.String()
}

// Colors become those of the page; all other control sequences are dropped with their parameters.
func TestStyledText(t *testing.T) {
	for text, want := range map[string]string{
		"plain\n\tü": "plain\n\tü",
		"\x1b[31mred\x1b[0m \x1b[1;92mbold\x1b[22m green\x1b[39m no":  "[c1:red] [c2 bold:bold][c2: green] no",
		"\x1b[36mcyan\x1b[m\x1b[90mgray\x1b[97mwhite":                 "[c6:cyan][c8:gray]white",
		"\x1b[38;5;196mred\x1b[38;5;21mblue\x1b[38;5;244mgray":        "[c1:red][c4:blue][c8:gray]",
		"\x1b[38;2;250;250;0;1myellow":                                "[c3 bold:yellow]",
		"\x1b[38:2::200:0:200mcolons\x1b[38:5:2mgreen":                "[c5:colons][c2:green]",
		"\x1b[41;30;48;5;1mbackground\x1b[48;2;1;2;3;33mkept":         "background[c3:kept]",
		"\x1b[4:3mcurly\x1b[7mreverse":                                "curlyreverse",
		"\x1b[2Ka\x1b[?25lb\x1b[10;20Hc\x1b[>4md":                     "abcd",
		"\x1b]0;title\atext\x1b]8;;http://a/\x1b\\link\x1b]8;;\x1b\\": "textlink",
		"\x1b(Ba\x1b7b\x1bMc\r\b\a\x7fd\u009be":                       "abcde",
		"a\x1b":                                                       "a",
		"a\x1b[31":                                                    "a",
		"a\x1b]0;never ends":                                          "a",
		"a\x1b[3\nb":                                                  "a\nb",
		"\x1b[38;5mlost\x1b[38mlost":                                  "lostlost",
	} {
		if got := show(styledText(text)); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// No text has control characters left, and none loses what it has besides sequences.
func FuzzStyledText(f *testing.F) {
	f.Add("a\x1b[31mb")
	f.Add("\xc2\x1b\x980")
	f.Add("\x1b]0;x\x07\u009b\x1b(B\xc2")
	f.Fuzz(func(t *testing.T, s string) {
		got := plainText(styledText(s))
		if strings.ContainsRune(s, escape) && !utf8.ValidString(got) {
			t.Errorf("%q became %q, which is not UTF-8", s, got)
		}
		if strings.IndexFunc(got, isControl) >= 0 {
			t.Errorf("%q became %q", s, got)
		}
		if strings.IndexFunc(s, isControl) < 0 && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}
