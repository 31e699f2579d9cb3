package main

import (
	"io"
	"math"

	"github.com/switchyard-p2p/switchyard/internal/chart"
)

// draw draws what ours costs at each size with persistence on, in processor time, both axes logarithmic; and what log n would be.
func draw(w io.Writer, all []cell) error {
	c := chart.Chart{Title: "Our peer store, persistence on", X: "peers", Y: "µs of processor time an operation", LogX: true, LogY: true, Low: 0.1, High: 1000}
	for _, name := range []string{opAdd, opManage, opPick, opAdvertise} {
		l := chart.Line{Name: name, Dots: true}
		for _, m := range all {
			if m.Operation == name && m.Book == "ours" && m.CPU > 0 {
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
	growth := chart.Line{Name: "log n, from the first add"}
	for _, p := range first {
		growth.Points = append(growth.Points, chart.Point{X: p.X, Y: first[0].Y * math.Log(p.X) / math.Log(first[0].X)})
	}
	c.Lines = append(c.Lines, growth)
	return c.Write(w)
}
