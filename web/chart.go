package web

import (
	"fmt"
	"time"
)

// A Chart is bars for an SVG, in units of its viewBox.
type Chart struct {
	Width, Height float64
	Bars          []Bar
	Top           string // what the highest bar stands for
	Label         string // what is to be seen, for those who can't
}

// A Bar stands on the bottom; Bad is the part of it on top that failed.
type Bar struct {
	X, Y, Width, Height float64
	BadY, BadHeight     float64
	Title               string
}

// A Column is a bar's data.
type Column struct {
	At        time.Time
	Good, Bad int64
}

// NewChart draws a column for each minute.
func NewChart(columns []Column) Chart {
	c := Chart{Width: 600, Height: 100}
	var most, good, bad int64
	for _, column := range columns {
		most = max(most, column.Good+column.Bad)
		good, bad = good+column.Good, bad+column.Bad
	}
	c.Label = fmt.Sprintf("Jobs that ended in each minute of the last hour: %s succeeded, %s failed, at most %s in a minute", Count(good), Count(bad), Count(most))
	c.Top = Count(most) + " a minute"
	step := c.Width / float64(max(1, len(columns)))
	for i, column := range columns {
		all := column.Good + column.Bad
		if all == 0 {
			continue
		}
		// What is there must be seen, however little it is.
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

// NewSpread draws the percentiles of waiting and running as bars that lie, on
// a scale that all services share.
func NewSpread(wait, run [3]time.Duration, longest time.Duration) Chart {
	c := Chart{Width: 100, Height: 14}
	names := [3]string{"50", "95", "99"}
	for row, values := range [][3]time.Duration{wait, run} {
		for i := len(values) - 1; i >= 0; i-- {
			width := c.Width * float64(values[i]) / float64(max(longest, 1))
			c.Bars = append(c.Bars, Bar{Y: float64(row) * 8, Width: max(width, 0.5), Height: 6, Title: names[i]})
		}
	}
	c.Label = fmt.Sprintf("95 of 100 jobs wait at most %s and run at most %s", Took(wait[1]), Took(run[1]))
	return c
}
