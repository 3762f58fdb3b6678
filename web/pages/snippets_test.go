package pages

import (
	"strings"
	"testing"
)

// JSON whose value is another one in JavaScript stays a text there.
func TestSnippetScript(t *testing.T) {
	for _, exact := range []string{`{"a": [1, -2.5, 1e3, 123456789012345]}`, `{"a": "12345678901234567890"}`, `{}`} {
		if got, want := (snippetView{}).Script(exact), "JSON.stringify("+exact+")"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	for _, inexact := range []string{`{"a": 12345678901234567890}`, `{"a": 1e400}`, `{"a": 0.12345678901234567}`} {
		if got := (snippetView{}).Script(inexact); got != `"`+strings.ReplaceAll(inexact, `"`, `\"`)+`"` {
			t.Errorf("%s is %s", inexact, got)
		}
	}
	if got, want := (snippetView{}).Script(`{"__proto__": 1}`), `"{\"__proto__\": 1}"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// curl sends values literally: with -F, it would end them at a semicolon, or read a file.
func TestSnippetUploadLiterals(t *testing.T) {
	all, err := snippets("upload", snippetView{
		Input: `{"a": "x;type=text/html"}`, Files: []string{"file"}, Options: []option{{Name: "tags", Texts: []string{"@a;b"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`--form-string 'input={"a": "x;type=text/html"}'`, `--form-string 'tags=@a;b'`, `-F 'file=@FILE'`} {
		if !strings.Contains(all[0].Code, want) {
			t.Errorf("no %s in %s", want, all[0].Code)
		}
	}
}
