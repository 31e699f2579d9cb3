//go:build linux

package main

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// wan carries packets between places: late by half the round trip of their regions, or not at all.
type wan struct {
	*emunet.Network
	loss float64                     // between regions
	off  [emunet.Regions]atomic.Bool // regions that are cut from the others
}

// newWAN makes places and carries packets between them.
func newWAN(places int, loss float64) *wan {
	w := &wan{loss: loss}
	w.Network = must(emunet.New(placesOf(places), w.path))
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
	from, to = from%emunet.Regions, to%emunet.Regions
	risk := w.loss
	if from == to {
		risk /= 10
	}
	if w.off[from].Load() != w.off[to].Load() || rand.Float64() < risk {
		return 0, false
	}
	return emunet.OneWay(from, to), true
}
