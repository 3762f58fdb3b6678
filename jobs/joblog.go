package jobs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

const (
	// maxLog is how many bytes of a job's log are kept, the newest.
	maxLog = 256 << 10
	// trimAfter is how much more there may be before the oldest are removed.
	trimAfter = 32 << 10
)

// said are the lines of a run's service that its row does not know yet.
type said struct {
	lines uint64 // how many the job's services have said in all
	first uint64 // the number of the first in text
	text  []byte // each ends with a newline; what is in it is not changed any more
	fresh int    // bytes written since the log was trimmed
}

// A part is some lines of a log.
type part struct {
	first, lines uint64
	text         []byte
	trim         bool
}

// add adds a line, and returns its number.
func (s *said) add(at Time, level, line string) uint64 {
	s.lines++
	line = strings.ReplaceAll(strings.ReplaceAll(line, "\x00", "\uFFFD"), "\n", "\n\t")
	s.text = slices.Grow(s.text, len(timeLayout)+len(level)+len(line)+3)
	s.text = append(at.AppendFormat(s.text, timeLayout), ' ')
	s.text = append(append(append(append(s.text, level...), ' '), line...), '\n')
	for len(s.text) > maxLog { // the database is away
		s.drop(bytes.IndexByte(s.text, '\n') + 1)
	}
	return s.lines
}

// drop forgets the first n bytes.
func (s *said) drop(n int) {
	for n < len(s.text) && s.text[n] == '\t' { // the rest of the line
		n += bytes.IndexByte(s.text[n:], '\n') + 1
	}
	s.first += countLines(s.text[:n])
	s.text = s.text[n:]
}

// saved forgets what has been written.
func (s *said) saved(p part) {
	if s.fresh += len(p.text); p.trim {
		s.fresh = 0
	}
	if p.first+countLines(p.text) <= s.first {
		return // dropped meanwhile
	}
	s.text = bytes.Clone(s.text[countBytes(s.text, p.first+countLines(p.text)-s.first):]) // lets go of the rest
	s.first = p.lines + 1
}

// countLines returns how many lines the text has; what begins with a tab
// belongs to the line before.
func countLines(text []byte) uint64 {
	return uint64(bytes.Count(text, []byte("\n")) - bytes.Count(text, []byte("\n\t"))) //nolint:gosec // there are fewer tabs than newlines
}

// countBytes returns how many bytes the first n lines have.
func countBytes(text []byte, n uint64) int {
	at := 0
	for at < len(text) {
		if text[at] != '\t' {
			if n == 0 {
				break
			}
			n--
		}
		at += bytes.IndexByte(text[at:], '\n') + 1
	}
	return at
}

// unsavedLog returns the lines that the row does not know.
func (r *run) unsavedLog() part {
	r.mu.Lock()
	defer r.mu.Unlock()
	return part{first: r.said.first, lines: r.said.lines, text: r.said.text, trim: r.said.fresh+len(r.said.text) > trimAfter}
}

// A loggedPart is a part of the log of a job.
type loggedPart struct {
	jobID string
	part
}

var logWriter = newInserter("job_logs", "ON CONFLICT (job_id, line) DO UPDATE SET lines = excluded.lines",
	column[loggedPart]{"job_id", "text", func(l loggedPart) any { return l.jobID }},
	column[loggedPart]{"line", "bigint", func(l loggedPart) any { return l.first }},
	column[loggedPart]{"lines", "text", func(l loggedPart) any { return string(l.text) }},
)

// saveLogs writes lines of jobs' logs, and removes the oldest of a job that has
// too many.
func (b *batch) saveLogs(ctx context.Context) error {
	logs := slices.DeleteFunc(b.logs, func(l loggedPart) bool { return len(l.text) == 0 })
	if _, err := logWriter.write(ctx, b, logs); err != nil {
		return fmt.Errorf("save logs: %w", err)
	}
	for _, l := range logs {
		if !l.trim {
			continue
		}
		if _, err := b.tx.ExecContext(ctx, `DELETE FROM job_logs WHERE job_id = $1 AND line < (
			SELECT min(line) FROM (SELECT line, sum(octet_length(lines)) OVER (ORDER BY line DESC) - octet_length(lines) AS after FROM job_logs WHERE job_id = $1) l WHERE after < $2)`, l.jobID, maxLog); err != nil {
			return fmt.Errorf("trim log: %w", err)
		}
	}
	return nil
}

// Log returns what the services of a job have said, the newest 256 KiB of it
// as text, a line each with its time and level, and whether there was more.
// Lines reach it two seconds after they were said, at most.
func (q *Queue) Log(ctx context.Context, id string) (text string, truncated bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := q.db.read.QueryContext(ctx, `SELECT line, lines FROM job_logs WHERE job_id = $1 ORDER BY line`, id)
	if err != nil {
		return "", false, fmt.Errorf("read log: %w", err)
	}
	defer rows.Close()
	var b strings.Builder
	next := uint64(1)
	for rows.Next() {
		var first uint64
		var lines string
		if err := rows.Scan(&first, &lines); err != nil {
			return "", false, fmt.Errorf("read log: %w", err)
		}
		truncated = truncated || first > next
		next = first + countLines([]byte(lines))
		b.WriteString(lines)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return "", false, fmt.Errorf("read log: %w", err)
	}
	text = b.String()
	if over := len(text) - maxLog; over > 0 {
		cut := over + strings.IndexByte(text[over:], '\n') + 1
		return text[cut:], true, nil
	}
	return text, truncated, nil
}
