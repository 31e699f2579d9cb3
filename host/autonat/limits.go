package autonat

import (
	"net/netip"
	"sync"
	"time"
)

const (
	// maxAtOnce bounds the requests in work, and maxAtOncePerIP those of one IP.
	maxAtOnce      = 8
	maxAtOncePerIP = 2
)

// limits count the requests of a minute. Their memory is bounded by all.
type limits struct {
	all, perIP int

	mu   sync.Mutex // guards what follows
	past []passed   // the requests of the last minute, the oldest first
	busy map[netip.Addr]int
	work int // the sum of busy
}

type passed struct {
	ip netip.Addr
	at time.Time
}

// sourceOf is what counts as one IP: an IPv6 /64 is one.
func sourceOf(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return ip
}

// begin counts a request in, or reports that there is no room for it. Each begin that succeeds needs an end.
func (l *limits) begin(ip netip.Addr, now time.Time) bool {
	ip = sourceOf(ip)
	l.mu.Lock()
	defer l.mu.Unlock()
	old := 0
	for old < len(l.past) && now.Sub(l.past[old].at) >= time.Minute {
		old++
	}
	l.past = append(l.past[:0], l.past[old:]...)
	same := 0
	for _, p := range l.past {
		if p.ip == ip {
			same++
		}
	}
	if len(l.past) >= l.all || same >= l.perIP || l.work >= maxAtOnce || l.busy[ip] >= maxAtOncePerIP {
		return false
	}
	if l.busy == nil {
		l.busy = map[netip.Addr]int{}
	}
	l.past = append(l.past, passed{ip, now})
	l.busy[ip]++
	l.work++
	return true
}

func (l *limits) end(ip netip.Addr) {
	ip = sourceOf(ip)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.work--
	if l.busy[ip]--; l.busy[ip] == 0 {
		delete(l.busy, ip)
	}
}
