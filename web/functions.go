package web

import (
	"fmt"
	"html/template"
	"strconv"
	"time"
)

// functions are what templates call beside the built-in ones.
func functions() template.FuncMap {
	return template.FuncMap{
		"time":  Time,
		"ago":   func(t time.Time) string { return Took(time.Since(t)) },
		"took":  Took,
		"bytes": Size,
		"list":  func(items ...string) []string { return items },
		"count": Count,
	}
}

// Time renders a moment in UTC; scripts show it in the reader's own time.
func Time(t time.Time) template.HTML {
	t = t.UTC()
	//nolint:gosec // made of digits alone
	return template.HTML(`<time datetime="` + t.Format("2006-01-02T15:04:05.000Z") + `">` + t.Format("2006-01-02 15:04:05") + `</time>`)
}

// Took says for people how long something took, as exactly as is of use.
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

// Size says for people how many bytes something has.
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

// Count separates the thousands of a number.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
