package main

import (
	"image/color"
	"io"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// drawn are the operations of the picture.
var drawn = []struct {
	name  string
	color color.RGBA
}{
	{opAdd, color.RGBA{0x1b, 0x6c, 0xa8, 255}}, {opManage, color.RGBA{0xc2, 0x4d, 0x2c, 255}}, {opPick, color.RGBA{0x2e, 0x8b, 0x57, 255}}, {opAdvertise, color.RGBA{0x7b, 0x3f, 0x9e, 255}},
}

// drawCost draws what ours costs at each size, both axes logarithmic: the processor time of each operation with persistence on.
func drawCost(w io.Writer, all []cell) error {
	p := plot.New()
	p.Title.Text = "Peer store, persistence on: processor time of an operation"
	p.X.Label.Text = "peers"
	p.Y.Label.Text = "µs"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.LogTicks{Prec: -1}, plot.LogTicks{Prec: -1}
	p.Add(plotter.NewGrid())
	p.Y.Min, p.Y.Max = 0.1, 1000
	for _, d := range drawn {
		var points plotter.XYs
		for _, c := range all {
			if c.Operation == d.name && c.Book == "ours" && c.CPU > 0 {
				points = append(points, plotter.XY{X: float64(c.Peers), Y: c.CPU})
			}
		}
		if len(points) < 2 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = d.color, vg.Points(1.5)
		dots.Color, dots.Shape = d.color, draw.CircleGlyph{}
		p.Add(line, dots)
		p.Legend.Add(d.name, line, dots)
	}
	p.Legend.Top, p.Legend.Left = true, true
	c := vgsvg.New(20*vg.Centimeter, 12*vg.Centimeter)
	p.Draw(draw.New(c))
	_, err := c.WriteTo(w)
	return err
}
