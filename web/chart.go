package web

import (
	"fmt"
	"time"
)

// A Chart is a bar chart for an SVG, in units of its viewBox.
type Chart struct {
	Width, Height float64
	Bars          []Bar
	Top           string // the value of the highest bar
	Label         string // a text alternative, for screen readers
}

// A Bar is one bar of a chart. BadY and BadHeight are its upper part, the failed jobs.
type Bar struct {
	X, Y, Width, Height float64
	BadY, BadHeight     float64
	Title               string
}

// A Column holds the data of one bar.
type Column struct {
	At        time.Time
	Good, Bad int64
}

// NewChart returns a chart with one bar per minute.
func NewChart(columns []Column) Chart {
	c := Chart{Width: 600, Height: 100}
	var most, good, bad int64
	for _, column := range columns {
		most = max(most, column.Good+column.Bad)
		good, bad = good+column.Good, bad+column.Bad
	}
	c.Label = fmt.Sprintf("Jobs ended per minute in the last hour: %s succeeded, %s failed, at most %s in a minute",
		Count(good), Count(bad), Count(most))
	c.Top = Count(most) + "/min"
	step := c.Width / float64(max(1, len(columns)))
	for i, column := range columns {
		all := column.Good + column.Bad
		if all == 0 {
			continue
		}
		// Keep even the smallest value visible.
		height := max(2, c.Height*float64(all)/float64(most))
		b := Bar{X: float64(i) * step, Width: step - 2, Height: height, Y: c.Height - height}
		if column.Bad > 0 {
			b.BadHeight = max(2, height*float64(column.Bad)/float64(all))
			b.BadY = b.Y
		}
		b.Title = fmt.Sprintf("%s: %s succeeded, %s failed", column.At.UTC().Format("15:04 UTC"), Count(column.Good), Count(column.Bad))
		c.Bars = append(c.Bars, b)
	}
	return c
}

// NewSpread returns a chart with the percentiles of queue time and run time as
// horizontal bars, on a scale common to all services.
func NewSpread(wait, run [3]time.Duration, longest time.Duration) Chart {
	c := Chart{Width: 100, Height: 14}
	names := [3]string{"50", "95", "99"}
	for row, values := range [][3]time.Duration{wait, run} {
		for i := len(values) - 1; i >= 0; i-- {
			width := c.Width * float64(values[i]) / float64(max(longest, 1))
			c.Bars = append(c.Bars, Bar{Y: float64(row) * 8, Width: max(width, 0.5), Height: 6, Title: names[i]})
		}
	}
	c.Label = fmt.Sprintf("Queue time p95 %s, run time p95 %s", Took(wait[1]), Took(run[1]))
	return c
}
