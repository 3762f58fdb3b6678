package jobs

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// maxDigest is the maximum length of a digest in bytes.
const maxDigest = 160

// Digest returns the beginning of an input in one line, by which people tell jobs apart: names and
// values without quotes and outer braces, such as "seconds: 2, name: Ada". Uploads have their names.
func Digest(input json.RawMessage, uploads map[string]File) string {
	d := json.NewDecoder(bytes.NewReader(input))
	d.UseNumber()
	var b strings.Builder
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	for d.More() && b.Len() < maxDigest {
		name, err := d.Token()
		if err != nil {
			break
		}
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		text, _ := name.(string)
		b.WriteString(text + ": " + digestValue(value, uploads))
	}
	return clipDigest(b.String())
}

// digestValue returns a value in one line: a text without quotes.
func digestValue(value json.RawMessage, uploads map[string]File) string {
	if len(value) > 8*maxDigest { // a text may have many escapes
		return "…"
	}
	var text string
	if value[0] == '"' && json.Unmarshal(value, &text) == nil {
		if f, ok := uploads[text]; ok {
			return f.Name
		}
		return text
	}
	var line bytes.Buffer
	if json.Compact(&line, value) != nil {
		return ""
	}
	return line.String()
}

// clipDigest returns the beginning of a text without line breaks and control characters.
func clipDigest(text string) string {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "\x00", " ")), " ")
	if len(text) <= maxDigest {
		return text
	}
	end := maxDigest - len("…")
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}
