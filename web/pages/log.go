package pages

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/web"
)

// logView returns the stored log of a job, as filtered by a query: q is a text in the lines, level their
// level.
func (a *Pages) logView(ctx context.Context, j *jobs.Job, query url.Values) (web.Log, error) {
	stored, err := a.Queue.StoredLog(ctx, j.ID)
	if err != nil {
		return web.Log{}, err
	}
	v := web.Log{
		Lines: logLines(stored.Text), Last: stored.Last, Truncated: stored.Truncated,
		Query: strings.TrimSpace(query.Get("q")), Level: query.Get("level"),
	}
	v.Stored = int64(len(v.Lines))
	if v.Filtered = v.Query != "" || v.Level != ""; v.Filtered {
		v.Lines = matchingLines(v.Lines, strings.ToLower(v.Query), v.Level)
	}
	nameAttempts(v.Lines, j)
	return v, nil
}

// matchingLines returns the lines of a level, or of all if it is "", that contain a text in any case.
func matchingLines(lines []web.LogLine, text, level string) []web.LogLine {
	return slices.DeleteFunc(lines, func(l web.LogLine) bool {
		return level != "" && l.Level != level || !strings.Contains(strings.ToLower(plainText(l.Parts)), text)
	})
}

// nameAttempts gives the first line of each attempt a heading, if the job has several attempts. A line
// belongs to the newest attempt that had started by then.
func nameAttempts(lines []web.LogLine, j *jobs.Job) {
	if len(j.History) < 2 {
		return
	}
	next := 0
	for i := range lines {
		before := next
		for lines[i].At != nil && next < len(j.History) && !lines[i].At.Before(j.History[next].StartedAt.Time) {
			next++
		}
		if next > before {
			attempt := &j.History[next-1]
			lines[i].Heading = attemptName(j, attempt.Step, attempt.Number)
			lines[i].ID = logAnchor(next - 1)
		}
	}
}

// logAnchor returns the id of the heading of an attempt in the log, by its index in the job's history.
func logAnchor(index int) string { return "log-attempt-" + strconv.Itoa(index+1) }

// linkAttempts links the attempts of a job to their lines in its log.
func linkAttempts(rows []web.WaterfallRow, lines []web.LogLine) {
	for _, line := range lines {
		if i, err := strconv.Atoi(strings.TrimPrefix(line.ID, "log-attempt-")); err == nil && i <= len(rows) {
			rows[i-1].LogHref = "#" + line.ID
		}
	}
}

// logLines parses the text of a log: a time, a level and a message in each line. A line that begins
// with a tab continues the message before it.
func logLines(text string) []web.LogLine {
	var lines []web.LogLine
	text = strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n\t", "\x00") // logs have no NUL
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" {
			lines = append(lines, logLine(strings.ReplaceAll(line, "\x00", "\n")))
		}
	}
	return lines
}

func logLine(line string) web.LogLine {
	stamp, rest, _ := strings.Cut(line, " ")
	level, message, ok := strings.Cut(rest, " ")
	at, err := time.Parse(time.RFC3339, stamp)
	if err != nil || !ok {
		return web.LogLine{Parts: styledText(line)} // the beginning of the message was truncated
	}
	return web.LogLine{At: &at, Level: level, Parts: styledText(message)}
}

// followAfter returns the event after which the live updates of a job's page begin. All log lines up to
// the newest event of the job's row are stored with it, so they are on the page already.
func followAfter(j *jobs.Job, log *web.Log) string {
	switch {
	case log.Last == 0:
		return "1-0" // replays the events, because the job may have streamed its output
	case j.Done:
		return ""
	default:
		return j.LastEventID
	}
}
