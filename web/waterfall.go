package web

import "time"

// A Waterfall shows the attempts of a job, one below the other, on one time scale.
type Waterfall struct {
	Width, Height float64 // of the viewBox of each row
	Rows          []WaterfallRow
	Workers       bool // whether the reader sees who ran the attempts
}

// An WaterfallRow is an attempt, or the wait for the next one. Waited and Ran are durations; the times are
// set while these have not ended.
type WaterfallRow struct {
	Name, Status string
	LogHref      string // the attempt's part of the log
	Waited, Ran  string
	Until        *time.Time // of the wait
	Since        *time.Time // of the run
	Worker       string
	Spans        []Span
	Bars         []Bar // of Spans, with their kinds as titles
}

// A Span is what an attempt did in a time: "wait", "later" (a backoff or a delay) or "run".
type Span struct {
	Kind     string
	From, To time.Time
}

// NewWaterfall returns rows with a bar for each of their spans, as long as its share of the whole time.
func NewWaterfall(rows []WaterfallRow) Waterfall {
	w := Waterfall{Width: 1000, Height: 10, Rows: rows}
	var first, last time.Time
	for i := range rows {
		for _, s := range rows[i].Spans {
			if first.IsZero() || s.From.Before(first) {
				first = s.From
			}
			if s.To.After(last) {
				last = s.To
			}
		}
	}
	scale := w.Width / max(last.Sub(first).Seconds(), 0.001)
	const least = 4 // keeps even the shortest span visible
	for i := range rows {
		for _, s := range rows[i].Spans {
			width := max(s.To.Sub(s.From).Seconds()*scale, least)
			x := min(s.From.Sub(first).Seconds()*scale, w.Width-width)
			rows[i].Bars = append(rows[i].Bars, Bar{X: x, Width: width, Height: w.Height, Title: s.Kind})
		}
	}
	return w
}
