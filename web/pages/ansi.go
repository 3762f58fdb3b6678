package pages

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"coatcheck/web"
)

const escape = '\x1b'

// styledText splits a log message into parts with the colors that its ANSI escape sequences set (ECMA-48,
// section 8.3.117). Other control sequences and control characters are dropped, as they mean nothing on
// a page.
func styledText(s string) []web.LogPart {
	if strings.IndexFunc(s, isControl) < 0 {
		return []web.LogPart{{Text: s}}
	}
	s = strings.ToValidUTF8(s, string(utf8.RuneError)) // bytes around a sequence must not become a character
	var parts []web.LogPart
	var now style
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			parts = append(parts, web.LogPart{Class: now.class(), Text: text.String()})
			text.Reset()
		}
	}
	for s != "" {
		end := strings.IndexFunc(s, isControl)
		if end < 0 {
			text.WriteString(s)
			break
		}
		text.WriteString(s[:end])
		var codes string
		codes, s = cutSequence(s[end:])
		if next := now.after(codes); next != now {
			flush()
			now = next
		}
	}
	flush()
	return parts
}

// plainText returns what a reader sees of a message: its text without control sequences.
func plainText(parts []web.LogPart) string {
	if len(parts) == 1 {
		return parts[0].Text
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
	}
	return b.String()
}

func isControl(r rune) bool { return r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 }

// cutSequence cuts a control character, or the sequence that begins with it, off the text. codes are
// the parameters of the sequence if it sets colors; else "".
func cutSequence(s string) (codes, rest string) {
	switch {
	case s[0] == 0xc2: // a C1 control character, encoded as UTF-8
		return "", s[2:]
	case s[0] != escape:
		return "", s[1:]
	case len(s) < 2:
		return "", ""
	}
	switch s[1] {
	case '[':
		return cutColors(s[2:])
	case ']', 'P', 'X', '^', '_': // a string up to BEL or ESC \
		if end := strings.IndexAny(s[2:], "\a\x1b\n"); end >= 0 {
			return "", strings.TrimPrefix(strings.TrimPrefix(s[2+end:], "\a"), "\x1b\\")
		}
		return "", ""
	default:
		rest = strings.TrimLeft(s[1:], " !\"#$%&'()*+,-./")
		if rest != "" && rest[0] >= '0' && rest[0] < 0x7f {
			rest = rest[1:]
		}
		return "", rest
	}
}

// cutColors cuts the rest of a sequence that began with ESC [.
func cutColors(s string) (codes, rest string) {
	for i := range len(s) {
		switch c := s[i]; {
		case c == 'm':
			return s[:i] + ";", s[i+1:]
		case c >= '@' && c <= '~':
			return "", s[i+1:]
		case c < ' ' || c > '~': // no sequence: a terminal would drop it as well
			return "", s[i:]
		}
	}
	return "", ""
}

// A style is how a text looks: its color from 1 to 8, or 0 for that of the page.
type style struct {
	color int
	bold  bool
}

func (s style) class() string {
	var class []string
	if s.color > 0 {
		class = append(class, "c"+strconv.Itoa(s.color))
	}
	if s.bold {
		class = append(class, "bold")
	}
	return strings.Join(class, " ")
}

// after returns the style after the codes of a sequence, which end with a semicolon; "" has none.
func (s style) after(codes string) style {
	if codes == "" || strings.ContainsAny(codes, "<=>?") { // those are private
		return s
	}
	fields := strings.Split(strings.TrimSuffix(codes, ";"), ";")
	for len(fields) > 0 {
		code, sub, isSub := strings.Cut(fields[0], ":")
		fields = fields[1:]
		n, _ := strconv.Atoi(code) // "" is 0
		switch {
		case isSub && n == 38:
			s.color, _ = extendedColor(strings.Split(sub, ":"), true)
		case isSub:
		case n == 38:
			s.color, fields = extendedColor(fields, false)
		case n == 48 || n == 58: // a background, or the color of a line
			_, fields = extendedColor(fields, false)
		default:
			s = s.with(n)
		}
	}
	return s
}

// with returns the style after a code without parameters.
func (s style) with(code int) style {
	switch {
	case code == 0:
		return style{}
	case code == 1:
		s.bold = true
	case code == 2: // faint
		s.color = gray
	case code == 22:
		s.bold = false
	case code == 39:
		s.color = 0
	case code >= 30 && code <= 37:
		s.color = paletteColor(code - 30)
	case code >= 90 && code <= 97:
		s.color = paletteColor(code - 90 + 8)
	}
	return s
}
