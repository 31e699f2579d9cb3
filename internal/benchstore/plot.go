package main

import (
	"io"
	"math"

	"github.com/switchyard-p2p/switchyard/internal/chart"
)

// drawn lists the lines of the picture.
var drawn = []struct{ book, operation, name string }{
	{"ours in memory", opAdd, "add"},
	{"ours in memory", opManage, "add, DialNext, DialFailed"},
	{"ours in memory", opPick, "pick"},
	{"ours in memory", opAdvertise, "advertise 100"},
	{"ours", opAdd, "add, written behind"},
	{"ours", opManage, "add, dial, fail, written behind"},
}

// draw draws the processor time of ours at each size, both axes logarithmic, and log n for comparison.
func draw(w io.Writer, all []cell) error {
	c := chart.Chart{Title: "Our peer store", X: "peers", Y: "µs of processor time an operation", LogX: true,
		LogY: true, Low: 0.1, High: 1000}
	for _, d := range drawn {
		l := chart.Line{Name: d.name, Dots: true}
		for _, m := range all {
			if m.Operation == d.operation && m.Book == d.book && m.CPU > 0 {
				l.Points = append(l.Points, chart.Point{X: float64(m.Peers), Y: m.CPU})
			}
		}
		if len(l.Points) > 0 {
			c.Lines = append(c.Lines, l)
		}
	}
	if len(c.Lines) == 0 {
		return nil
	}
	first := c.Lines[0].Points
	growth := chart.Line{Name: "log n, for comparison"}
	for _, p := range first {
		growth.Points = append(growth.Points,
			chart.Point{X: p.X, Y: first[0].Y / 4 * math.Log(p.X) / math.Log(first[0].X)})
	}
	c.Lines = append(c.Lines, growth)
	return c.Write(w)
}
