package web

import (
	"fmt"
	"time"
)

// A Range is a range of time that a history covers, in bars of equal length.
type Range struct {
	Name   string // in URLs
	Bar    time.Duration
	Bars   int
	Unit   string   // what a bar is
	Labels []string // of the time axis, at equal distances
}

// Ranges are the ranges that a user can choose from. The first is the default.
var Ranges = []Range{
	{"hour", time.Minute, 60, "a minute", []string{"60 min ago", "30 min ago", "now"}},
	{"day", time.Hour, 24, "an hour", []string{"24 h ago", "12 h ago", "now"}},
	{"week", 6 * time.Hour, 28, "6 hours", []string{"7 days ago", "3.5 days ago", "now"}},
}

// A HistoryColumn holds the number of jobs that ended in the time of one bar.
type HistoryColumn struct {
	Start                       time.Time
	Succeeded, Failed, Canceled int64
}

// A History is a bar chart of ended jobs over time, for an SVG in units of its viewBox, with its
// axes and a table of its values.
type History struct {
	Range
	Width, Height float64
	Axis          []string // values of the vertical axis, from the top at equal distances
	Columns       []HistoryBar
	Label         string // a text alternative, for screen readers
	Rows          []HistoryColumn
}

// A HistoryBar is one bar of a history.
type HistoryBar struct {
	X, Width float64
	Title    string
	Parts    []HistoryPart
}

// A HistoryPart is the part of a bar for the jobs that ended in one way.
type HistoryPart struct {
	Class     string
	Y, Height float64
}

// NewHistory returns the history of the columns, oldest first. Its Rows are the columns in which
// jobs ended, newest first.
func NewHistory(r Range, columns []HistoryColumn) History {
	h := History{Range: r, Width: 600, Height: 100}
	var sum HistoryColumn
	var most int64
	for _, c := range columns {
		sum.Succeeded += c.Succeeded
		sum.Failed += c.Failed
		sum.Canceled += c.Canceled
		most = max(most, c.total())
		if c.total() > 0 {
			h.Rows = append([]HistoryColumn{c}, h.Rows...)
		}
	}
	h.Label = fmt.Sprintf("Jobs that ended in the last %s: %s; at most %s in %s", r.Name, sum.counts(), Count(most), r.Unit)
	top := axisTop(most)
	h.Axis = []string{Count(top), Count(top / 2), "0"}
	step := h.Width / float64(max(1, len(columns)))
	for i, c := range columns {
		h.Columns = append(h.Columns, HistoryBar{
			X: float64(i) * step, Width: step * 0.8, Title: c.title(r.Bar), Parts: c.parts(h.Height, top),
		})
	}
	return h
}

// axisTop returns the lowest round even number that is at least most.
func axisTop(most int64) int64 {
	for unit := int64(1); ; unit *= 10 {
		for _, n := range []int64{2, 4, 6, 8, 10, 12, 16} {
			if n*unit >= most {
				return n * unit
			}
		}
	}
}

// total returns the number of jobs that ended.
func (c *HistoryColumn) total() int64 { return c.Succeeded + c.Failed + c.Canceled }

// counts returns the numbers as text.
func (c *HistoryColumn) counts() string {
	return fmt.Sprintf("%s succeeded, %s failed, %s canceled", Count(c.Succeeded), Count(c.Failed), Count(c.Canceled))
}

// title returns what is shown when the pointer is on the bar.
func (c *HistoryColumn) title(length time.Duration) string {
	start := c.Start.UTC()
	if length < time.Hour {
		return start.Format("15:04 UTC") + ": " + c.counts()
	}
	return start.Format("2006-01-02 15:04") + "–" + start.Add(length).Format("15:04 UTC") + ": " + c.counts()
}

// parts returns the parts of the bar, from the bottom to the top.
func (c *HistoryColumn) parts(height float64, top int64) []HistoryPart {
	var parts []HistoryPart
	y := height
	for _, p := range []struct {
		class string
		n     int64
	}{{"good", c.Succeeded}, {"bad", c.Failed}, {"canceled", c.Canceled}} {
		if p.n == 0 {
			continue
		}
		// Keep even the smallest value visible, within the chart.
		h := min(max(1.5, height*float64(p.n)/float64(top)), y)
		y -= h
		parts = append(parts, HistoryPart{p.class, y, h})
	}
	return parts
}
