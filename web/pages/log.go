package pages

import (
	"context"
	"strings"
	"time"

	"coatcheck/jobs"
	"coatcheck/web"
)

// logView returns the stored log of a job.
func (a *Pages) logView(ctx context.Context, id string) (web.Log, error) {
	stored, err := a.Queue.StoredLog(ctx, id)
	if err != nil {
		return web.Log{}, err
	}
	return web.Log{Lines: logLines(stored.Text), Last: stored.Last, Truncated: stored.Truncated}, nil
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
