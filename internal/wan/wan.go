//go:build linux

package main

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"
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
	places []*place
	off    [regions]atomic.Bool // regions that are cut from the others

	mu    sync.Mutex
	now   int64 // ms
	wheel [512][]packet
}

type packet struct {
	to   *place
	data []byte
}

func (w *wan) cut(which ...int) {
	for i := range w.off {
		w.off[i].Store(slices.Contains(which, i))
	}
}

func (w *wan) heal() { w.cut() }

// carry reads what a place sends.
func (w *wan) carry(p *place, loss float64) {
	for buf := make([]byte, 65536); ; {
		n := must(p.tun.Read(buf))
		i := (int(buf[17])-1)*regions + int(buf[16]) - 40
		if buf[0]>>4 != 4 || buf[16] < 40 || buf[16] >= 40+regions || i < 0 || i >= len(w.places) {
			continue // the kernel's IPv6, or nobody's address
		}
		to, risk := w.places[i], loss
		if p.region == to.region {
			risk /= 10
		}
		if w.off[p.region].Load() != w.off[to.region].Load() || rand.Float64() < risk {
			continue
		}
		w.mu.Lock()
		slot := &w.wheel[(w.now+int64(rtt[p.region][to.region]/2))%int64(len(w.wheel))]
		*slot = append(*slot, packet{to, slices.Clone(buf[:n])})
		w.mu.Unlock()
	}
}

// run carries packets for ever.
func (w *wan) run(loss float64) {
	for _, p := range w.places {
		go w.carry(p, loss)
	}
	start := time.Now()
	for range time.Tick(time.Millisecond) {
		for w.now < time.Since(start).Milliseconds() {
			w.mu.Lock()
			w.now++
			slot := &w.wheel[w.now%int64(len(w.wheel))]
			due := *slot
			*slot = nil
			w.mu.Unlock()
			for _, k := range due {
				_, _ = k.to.tun.Write(k.data) // a full queue drops it, as a router would
			}
		}
	}
}
