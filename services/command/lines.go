package command

import (
	"strings"
	"unicode/utf8"
)

const (
	// maxLogLine is how many bytes of a line of standard error are kept.
	maxLogLine = 16 << 10
	// maxMessage is how many bytes a line on file descriptor 3 may have.
	maxMessage = 256 << 10
)

// A lineWriter splits what a program writes into lines, however long these are. A
// carriage return ends a line, too, because progress bars redraw their line with it.
type lineWriter struct {
	line  func(text string)
	limit int // of bytes in a line; the rest of a longer one is dropped
	text  []byte
	long  bool // the line has more bytes than the limit
}

// Write implements [io.Writer].
func (w *lineWriter) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case c == '\n' || c == '\r':
			w.flush()
		case len(w.text) < w.limit:
			w.text = append(w.text, c)
		default:
			w.long = true
		}
	}
	return len(p), nil
}

// flush ends the last line, which may have no line break.
func (w *lineWriter) flush() {
	if len(w.text) == 0 {
		return
	}
	text := strings.ToValidUTF8(string(w.text), string(utf8.RuneError))
	if w.long {
		text += "…"
	}
	w.text, w.long = w.text[:0], false
	w.line(text)
}

// A tail keeps the last lines of a program's standard error for its error message.
type tail struct {
	lines []string
	size  int
}

// maxTail is how many bytes of lines are kept, beside the last line.
const maxTail = 1 << 10

func (t *tail) add(line string) {
	t.lines = append(t.lines, line)
	t.size += len(line)
	for len(t.lines) > 1 && t.size > maxTail {
		t.size -= len(t.lines[0])
		t.lines = t.lines[1:]
	}
}

func (t *tail) String() string { return strings.Join(t.lines, "\n") }
