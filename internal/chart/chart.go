// Package chart draws the pictures of docs/ as SVG: lines over a grid, with a legend beside them. The same data gives
// the same bytes. It is a module of its own so that users do not inherit its dependencies.
package chart

import (
	"image/color"
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Point is a point of a line.
type Point struct{ X, Y float64 }

// Line is one line and its name in the legend.
type Line struct {
	Name   string
	Points []Point
	Dots   bool // mark the points
	Bold   bool
}

// Chart is one picture. Logarithmic axes begin and end at powers of ten.
type Chart struct {
	Title, X, Y string
	LogX, LogY  bool
	Low, High   float64 // of the vertical axis
	Lines       []Line
}

// palette holds colours that are easy to tell apart and dark enough for thin lines. Further lines repeat them, dashed.
var palette = []color.RGBA{{0x0b, 0x6e, 0x4f, 255}, {0xd1, 0x49, 0x5b, 255}, {0x1b, 0x6c, 0xa8, 255},
	{0xed, 0x8f, 0x1c, 255}, {0x7b, 0x3f, 0x9e, 255}, {0x6d, 0x4c, 0x41, 255}, {0x55, 0x60, 0x6b, 255}}

// The size of a picture. The legend takes legendRoom at its right.
const (
	width      = 26 * vg.Centimeter
	height     = 13 * vg.Centimeter
	legendRoom = 7.5 * vg.Centimeter
	margin     = 0.5 * vg.Centimeter
)

// Write draws the chart to w as SVG.
func (c *Chart) Write(w io.Writer) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = c.Title, c.X, c.Y
	p.Title.Padding = vg.Points(8)
	p.X.Padding, p.Y.Padding = 0, 0
	if c.LogX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
	}
	if c.LogY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, decades{}
	}
	p.Add(plotter.NewGrid())
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.Padding = vg.Points(6)
	for i, l := range c.Lines {
		points := make(plotter.XYs, len(l.Points))
		for k, pt := range l.Points {
			points[k] = plotter.XY{X: pt.X, Y: pt.Y}
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = palette[i%len(palette)], vg.Points(1.4)
		if l.Bold {
			line.Width = vg.Points(2.8)
		}
		if i >= len(palette) {
			line.Dashes = []vg.Length{vg.Points(5), vg.Points(3)}
		}
		dots.Color, dots.Shape = palette[i%len(palette)], draw.CircleGlyph{}
		p.Add(line)
		if l.Dots {
			p.Add(dots)
		}
		legend.Add(l.Name, line)
	}
	p.Y.Min, p.Y.Max = c.Low, c.High

	canvas := vgsvg.New(width, height)
	all := draw.New(canvas)
	all.SetColor(color.White)
	all.Fill(all.Rectangle.Path())
	p.Draw(draw.Crop(all, margin, -legendRoom-margin, margin, -margin))
	legend.Draw(draw.Crop(all, width-legendRoom, 0, 0, -3*margin))
	_, err := canvas.WriteTo(w)
	return err
}

// decades places the ticks of a logarithmic axis, with short labels at the powers of ten.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		v := math.Pow(10, e)
		if low <= v && v <= high {
			ticks = append(ticks, plot.Tick{Value: v, Label: label(v)})
		}
		for k := 2.0; k < 10; k++ {
			if low <= k*v && k*v <= high {
				ticks = append(ticks, plot.Tick{Value: k * v})
			}
		}
	}
	return ticks
}

func label(v float64) string {
	switch {
	case v >= 1e6:
		return strconv.FormatFloat(v/1e6, 'g', 4, 64) + "M"
	case v >= 1e3:
		return strconv.FormatFloat(v/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(v, 'g', 4, 64)
}
