package jobs

import (
	"strings"
	"unicode/utf8"
)

// MaxMessage is the maximum length of a progress message or a cancel reason, in bytes.
const MaxMessage = 1024

// Clip shortens a text to at most most bytes, at a character boundary, and replaces invalid UTF-8.
func Clip(s string, most int) string {
	if len(s) > most {
		s, _ = CutUnfinished(s[:most-len("…")])
		s += "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// CutUnfinished cuts an incomplete UTF-8 sequence off the end of a text.
func CutUnfinished(s string) (text, unfinished string) {
	for i := len(s) - 1; i >= max(0, len(s)-utf8.UTFMax); i-- {
		if utf8.RuneStart(s[i]) {
			if !utf8.FullRuneInString(s[i:]) {
				return s[:i], s[i:]
			}
			break
		}
	}
	return s, ""
}
