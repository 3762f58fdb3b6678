package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"coatcheck/jobs"
	"coatcheck/jobs/store"
)

const (
	// maxLog is the maximum size of a job's stored log, in bytes. The oldest lines are deleted.
	maxLog = 256 << 10
	// trimAfter is how many bytes are written before the log is trimmed again.
	trimAfter = 32 << 10
)

// A logBuffer holds the log lines of a run that are not stored yet.
type logBuffer struct {
	lines uint64 // number of log lines of all the job's steps
	first uint64 // number of the first line in text
	text  []byte // each line ends with a newline; existing bytes never change
	fresh int    // bytes written since the log was last trimmed
}

// add appends a line and returns its number.
func (s *logBuffer) add(at store.Time, level, line string) uint64 {
	s.lines++
	line = strings.ReplaceAll(strings.ReplaceAll(line, "\x00", "\uFFFD"), "\n", "\n\t")
	s.text = slices.Grow(s.text, len(store.TimeLayout)+len(level)+len(line)+3)
	s.text = append(at.AppendFormat(s.text, store.TimeLayout), ' ')
	s.text = append(append(append(append(s.text, level...), ' '), line...), '\n')
	for len(s.text) > maxLog { // the database is unavailable
		s.drop(bytes.IndexByte(s.text, '\n') + 1)
	}
	return s.lines
}

// drop drops the lines that the first n bytes begin.
func (s *logBuffer) drop(n int) {
	for n < len(s.text) && s.text[n] == '\t' { // continuation of the same log line
		n += bytes.IndexByte(s.text[n:], '\n') + 1
	}
	s.first += countLines(s.text[:n])
	s.text = s.text[n:]
}

// saved drops the lines of a part that has been stored.
func (s *logBuffer) saved(p jobs.LogPart) {
	if s.fresh += len(p.Text); p.Trim {
		s.fresh = 0
	}
	if p.First+countLines(p.Text) <= s.first {
		return // dropped meanwhile
	}
	// The copy releases the memory of the dropped lines.
	s.text = bytes.Clone(s.text[countBytes(s.text, p.First+countLines(p.Text)-s.first):])
	s.first = p.Lines + 1
}

// countLines returns the number of log lines in the text. A line that begins with a tab continues
// the previous one.
func countLines(text []byte) uint64 {
	return uint64(bytes.Count(text, []byte("\n")) - bytes.Count(text, []byte("\n\t"))) //nolint:gosec // there are fewer tabs than newlines
}

// countBytes returns the length of the first n log lines, in bytes.
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

// unsavedLog returns the log lines that are not stored yet.
func (r *run) unsavedLog() jobs.LogPart {
	r.mu.Lock()
	defer r.mu.Unlock()
	return jobs.LogPart{First: r.log.first, Lines: r.log.lines, Text: r.log.text, Trim: r.log.fresh+len(r.log.text) > trimAfter}
}

// A loggedPart is a part of the log of a job.
type loggedPart struct {
	jobID string
	jobs.LogPart
}

var logWriter = store.NewInserter("job_logs", "ON CONFLICT (job_id, line) DO UPDATE SET lines = excluded.lines",
	store.TextColumn("job_id", func(l loggedPart) any { return l.jobID }),
	store.BigintColumn("line", func(l loggedPart) any { return l.First }),
	store.TextColumn("lines", func(l loggedPart) any { return string(l.Text) }),
)

// saveLogs stores log lines, and deletes the oldest lines of logs that are too large.
func (b *batch) saveLogs(ctx context.Context) error {
	logs := slices.DeleteFunc(b.logs, func(l loggedPart) bool { return len(l.Text) == 0 })
	if _, err := logWriter.Write(ctx, b.tx, logs); err != nil {
		return fmt.Errorf("save logs: %w", err)
	}
	for _, l := range logs {
		if !l.Trim {
			continue
		}
		if _, err := b.tx.ExecContext(ctx, `DELETE FROM job_logs WHERE job_id = $1 AND line < (
			SELECT min(line) FROM (SELECT line, sum(octet_length(lines)) OVER (ORDER BY line DESC) - octet_length(lines) AS after FROM job_logs WHERE job_id = $1) l WHERE after < $2)`, l.jobID, maxLog); err != nil {
			return fmt.Errorf("trim log: %w", err)
		}
	}
	return nil
}

// A StoredLog is the stored part of a job's log.
type StoredLog struct {
	Text      string // each line has a time and a level; the further lines of a message begin with a tab
	Last      uint64 // number of the newest line; 0 if there is none
	Truncated bool   // whether older lines are missing
}

// Log returns the newest 256 KiB of a job's log as text. Each line has a time and a level.
// truncated reports whether older lines are missing. Lines become visible at most two seconds after
// they were logged.
func (q *Queue) Log(ctx context.Context, id string) (text string, truncated bool, err error) {
	stored, err := q.StoredLog(ctx, id)
	return stored.Text, stored.Truncated, err
}

// StoredLog returns what [Queue.Log] does, and the number of the newest line.
func (q *Queue) StoredLog(ctx context.Context, id string) (StoredLog, error) {
	ctx, cancel := context.WithTimeout(ctx, store.CallTimeout)
	defer cancel()
	rows, err := q.db.Read.QueryContext(ctx, `SELECT line, lines FROM job_logs WHERE job_id = $1 ORDER BY line`, id)
	if err != nil {
		return StoredLog{}, fmt.Errorf("read log: %w", err)
	}
	defer rows.Close()
	var b strings.Builder
	next, truncated := uint64(1), false
	for rows.Next() {
		var first uint64
		var lines string
		if err := rows.Scan(&first, &lines); err != nil {
			return StoredLog{}, fmt.Errorf("read log: %w", err)
		}
		truncated = truncated || first > next
		next = first + countLines([]byte(lines))
		b.WriteString(lines)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return StoredLog{}, fmt.Errorf("read log: %w", err)
	}
	text := b.String()
	if over := len(text) - maxLog; over > 0 {
		cut := over + strings.IndexByte(text[over:], '\n') + 1
		return StoredLog{Text: text[cut:], Last: next - 1, Truncated: true}, nil
	}
	return StoredLog{Text: text, Last: next - 1, Truncated: truncated}, nil
}
