//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

const regions = 5

// rtt holds the round trips in ms between the regions, and within one.
var rtt = [regions][regions]int{
	{20, 80, 140, 180, 250},
	{80, 20, 60, 200, 210},
	{140, 60, 20, 120, 150},
	{180, 200, 120, 20, 100},
	{250, 210, 150, 100, 20},
}

// wan carries packets between places: late by half the round trip of their regions, or not at all.
type wan struct {
	*emunet.Network
	loss float64              // between regions
	off  [regions]atomic.Bool // regions that are cut from the others
}

// newWAN makes places, each in a /16 of its own, so that limits per network group see them as on the Internet.
func newWAN(places int, loss float64) *wan {
	w := &wan{loss: loss}
	var ips []string
	for i := range places {
		ips = append(ips, fmt.Sprintf("%d.%d.0.1", 40+i%regions, 1+i/regions))
	}
	w.Network = must(emunet.New(ips, w.path))
	return w
}

func (w *wan) cut(which ...int) {
	for i := range w.off {
		w.off[i].Store(slices.Contains(which, i))
	}
}

func (w *wan) heal() { w.cut() }

// path says how a packet fares between two places.
func (w *wan) path(from, to int) (time.Duration, bool) {
	from, to = from%regions, to%regions
	risk := w.loss
	if from == to {
		risk /= 10
	}
	if w.off[from].Load() != w.off[to].Load() || rand.Float64() < risk {
		return 0, false
	}
	return time.Duration(rtt[from][to]) * time.Millisecond / 2, true
}
