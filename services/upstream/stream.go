package upstream

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"coatcheck/jobs"
)

// streamEnd is the data of the event after which some servers end a stream.
const streamEnd = "[DONE]"

// partCost is how many bytes a part counts beside its own, so that many small ones do not
// take much memory.
const partCost = 16

// A nextFunc returns the next part of a stream, of at most limit bytes; false at its end.
type nextFunc func(lines *bufio.Scanner, limit int) (part string, ok bool, err error)

// readStream reads a streamed response, publishes each part as it comes, and returns all
// of them: a list of JSON values, or their text.
func (u *Upstream) readStream(ctx context.Context, body io.Reader, next nextFunc) (json.RawMessage, error) {
	limit := jobs.MaxOutput(ctx)
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, limit)
	lines.Split(splitLines)
	list, size := []json.RawMessage{}, 0
	var all strings.Builder
	for {
		part, ok, err := next(lines, limit)
		if err != nil {
			return nil, err
		}
		if !ok || part == streamEnd {
			break
		}
		part = strings.ToValidUTF8(part, string(utf8.RuneError))
		if size += len(part) + partCost; size > limit {
			return nil, tooLarge(limit)
		}
		jobs.Output(ctx, part+"\n")
		if u.output == outputText {
			all.WriteString(part + "\n")
			continue
		}
		value := json.RawMessage(part)
		if !json.Valid(value) {
			value, _ = json.Marshal(part) // a text always can be JSON
		}
		list = append(list, value)
	}
	err := lines.Err()
	switch {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, tooLarge(limit)
	case err != nil:
		return nil, fmt.Errorf("read the response: %w", err)
	case u.output == outputText:
		return json.Marshal(all.String())
	}
	return json.Marshal(list)
}

// readEvent returns the data of the next server-sent event (WHATWG HTML, section 9.2). An
// event that the end of the stream cuts off has no data.
func readEvent(lines *bufio.Scanner, limit int) (data string, ok bool, err error) {
	var all strings.Builder
	found := false
	for lines.Scan() {
		line := lines.Text()
		if line == "" && found {
			return strings.TrimSuffix(all.String(), "\n"), true, nil
		}
		value, isData := strings.CutPrefix(line, "data:")
		if isData || line == "data" {
			found = true
			if isData {
				all.WriteString(strings.TrimPrefix(value, " "))
			}
			all.WriteByte('\n')
		}
		if all.Len() > limit {
			return "", false, tooLarge(limit)
		}
	}
	return "", false, nil
}

// readLine returns the next line that is not empty.
func readLine(lines *bufio.Scanner, _ int) (line string, ok bool, err error) {
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" {
			return line, true, nil
		}
	}
	return "", false, nil
}

// splitLines is a [bufio.SplitFunc] for lines that end with CR, LF or both.
func splitLines(data []byte, atEOF bool) (advance int, token []byte, err error) {
	i := bytes.IndexAny(data, "\r\n")
	switch {
	case i < 0 && atEOF && len(data) > 0:
		return len(data), data, nil
	case i < 0:
		return 0, nil, nil
	case data[i] == '\n':
		return i + 1, data[:i], nil
	case i+1 < len(data) && data[i+1] == '\n':
		return i + 2, data[:i], nil
	case i+1 == len(data) && !atEOF:
		return 0, nil, nil // the next byte may be its LF
	}
	return i + 1, data[:i], nil
}
