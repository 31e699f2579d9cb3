//go:build linux

package emunet

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Path says of a packet from one place to another, by their indices, how late it arrives, and whether it does at all.
// It is called for every packet, concurrently for those of different places. Delays are rounded to milliseconds and
// must be below MaxDelay.
type Path func(from, to int) (delay time.Duration, arrives bool)

// MaxDelay bounds what a Path may return.
const MaxDelay = slots * time.Millisecond

const slots = 512

// Network carries packets between places.
type Network struct {
	Places []*Place
	path   Path
	byIP   map[netip.Addr]int
	stop   chan struct{}
	wait   sync.WaitGroup

	mu    sync.Mutex
	now   int64 // ms
	wheel [slots][]packet
}

type packet struct {
	to   *Place
	data []byte
}

// New makes a place for each address and carries packets between them until Close.
func New(ips []string, path Path) (*Network, error) {
	n := &Network{path: path, byIP: map[netip.Addr]int{}, stop: make(chan struct{})}
	for i, ip := range ips {
		a, err := netip.ParseAddr(ip)
		if err == nil && !a.Is4() {
			err = fmt.Errorf("%s is no IPv4 address", ip)
		}
		var p *Place
		if err == nil {
			p, err = newPlace(ip)
		}
		if err != nil {
			n.Close()
			return nil, err
		}
		n.Places, n.byIP[a] = append(n.Places, p), i
	}
	for i := range n.Places {
		n.wait.Go(func() { n.carry(i) })
	}
	n.wait.Go(n.deliver)
	return n, nil
}

// carry reads what a place sends until its device closes.
func (n *Network) carry(from int) {
	for buf := make([]byte, 65536); ; {
		size, err := n.Places[from].tun.Read(buf)
		if err != nil {
			return
		}
		if size < 20 || buf[0]>>4 != 4 {
			continue // the kernel's IPv6
		}
		to, ok := n.byIP[netip.AddrFrom4([4]byte(buf[16:20]))]
		if !ok {
			continue
		}
		delay, arrives := n.path(from, to)
		if !arrives {
			continue
		}
		n.mu.Lock()
		slot := &n.wheel[(n.now+max(1, min(delay.Milliseconds(), slots-1)))%slots]
		*slot = append(*slot, packet{n.Places[to], slices.Clone(buf[:size])})
		n.mu.Unlock()
	}
}

// deliver writes packets when they are due, until Close.
func (n *Network) deliver() {
	start := time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-n.stop:
			return
		case <-tick.C:
		}
		for n.now < time.Since(start).Milliseconds() {
			n.mu.Lock()
			n.now++
			slot := &n.wheel[n.now%slots]
			due := *slot
			*slot = nil
			n.mu.Unlock()
			for _, k := range due {
				_, _ = k.to.tun.Write(k.data) // a full queue drops it, as a router would
			}
		}
	}
}

// Close ends all places.
func (n *Network) Close() {
	close(n.stop)
	for _, p := range n.Places {
		p.close()
	}
	n.wait.Wait()
}
