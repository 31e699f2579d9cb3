package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/emunet"
)

// wan is a network of places: every node has an address of its own, and links can be cut.
type wan struct {
	*emunet.Network
	far   func(from, to int) time.Duration // nil: no delays
	apart []atomic.Bool                    // places that are cut from the others
}

func newWAN(places int, far func(from, to int) time.Duration) (*wan, error) {
	w := &wan{far: far, apart: make([]atomic.Bool, places)}
	var ips []string
	for i := range places {
		ips = append(ips, fmt.Sprintf("10.%d.0.1", 1+i))
	}
	var err error
	w.Network, err = emunet.New(ips, w.path)
	return w, err
}

func (w *wan) path(from, to int) (delay time.Duration, arrives bool) {
	if w.far != nil {
		delay = w.far(from, to)
	}
	return delay, w.apart[from].Load() == w.apart[to].Load()
}

// cut cuts places from all others; without any it heals.
func (w *wan) cut(places ...int) {
	for i := range w.apart {
		w.apart[i].Store(false)
	}
	for _, i := range places {
		w.apart[i].Store(true)
	}
}
