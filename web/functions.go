package web

import (
	"fmt"
	"html/template"
	"strconv"
	"time"
)

// functions returns the functions that templates can call.
func functions() template.FuncMap {
	return template.FuncMap{
		"time":  Time,
		"ago":   func(t time.Time) template.HTML { return Ago(t, time.Now()) },
		"took":  Took,
		"bytes": Size,
		"list":  func(items ...string) []string { return items },
		"count": Count,
	}
}

// Time returns a <time> element in UTC. Scripts convert it to the reader's time zone.
func Time(t time.Time) template.HTML {
	t = t.UTC()
	//nolint:gosec // contains only digits and punctuation
	return template.HTML(`<time datetime="` + t.Format("2006-01-02T15:04:05.000Z") + `">` + t.Format("2006-01-02 15:04:05") + `</time>`)
}

// Ago returns how long before now t was, or the time itself if that was more than
// a day ago.
func Ago(t, now time.Time) template.HTML {
	var n time.Duration
	var unit string
	switch d := max(now.Sub(t), 0); {
	case d < time.Minute:
		n, unit = d/time.Second, " s ago"
	case d < time.Hour:
		n, unit = d/time.Minute, " min ago"
	case d < 24*time.Hour:
		n, unit = d/time.Hour, " h ago"
	default:
		return Time(t)
	}
	return template.HTML(strconv.FormatInt(int64(n), 10) + unit) //nolint:gosec // digits and a constant
}

// Took formats a duration for people, rounded down to a useful precision.
func Took(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	case d < 2*time.Minute:
		return strconv.Itoa(int(d.Seconds())) + " s"
	case d < 2*time.Hour:
		return strconv.Itoa(int(d.Minutes())) + " min"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + " h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + " days"
	}
}

// Size formats a number of bytes for people.
func Size(n int64) string {
	const unit = 1000
	if n < unit {
		return strconv.FormatInt(n, 10) + " B"
	}
	f, units := float64(n)/unit, "kMGT"
	for f >= unit && len(units) > 1 {
		f, units = f/unit, units[1:]
	}
	return fmt.Sprintf("%.1f %cB", f, units[0])
}

// Count formats a number with thousands separators.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
