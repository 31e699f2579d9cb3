package handshake

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Limits bound what handshakes may cost. A zero field means its default. A refusal names the configuration key.
type Limits struct {
	Handshakes      int // limits.handshakes: in flight at once, inbound; 0 means 512
	HandshakesPerIP int // limits.handshakes_per_ip: in flight at once from one IP (an IPv6 /64 counts as one); 0 means 64
	AttemptsPerIP   int // limits.attempts_per_ip: new connections per 10 s from one IP; 0 means 200
}

const (
	defaultHandshakes      = 512
	defaultHandshakesPerIP = 64
	defaultAttemptsPerIP   = 200

	keyHandshakes      = "limits.handshakes"
	keyHandshakesPerIP = "limits.handshakes_per_ip"
	keyAttemptsPerIP   = "limits.attempts_per_ip"

	// attemptWindow is the time over which attempts are counted. A window begins with the first attempt in it.
	attemptWindow = 10 * time.Second
	// maxWindows bounds how many sources have their attempts counted at once. When more come, the oldest window is forgotten.
	maxWindows = 16384
)

func (l Limits) withDefaults() (Limits, error) {
	for _, f := range []struct {
		key   string
		value *int
		def   int
	}{
		{keyHandshakes, &l.Handshakes, defaultHandshakes},
		{keyHandshakesPerIP, &l.HandshakesPerIP, defaultHandshakesPerIP},
		{keyAttemptsPerIP, &l.AttemptsPerIP, defaultAttemptsPerIP},
	} {
		if *f.value < 0 {
			return l, fmt.Errorf("%s: %d is negative (0 means %d)", f.key, *f.value, f.def)
		}
		if *f.value == 0 {
			*f.value = f.def
		}
	}
	return l, nil
}

// budgets counts inbound handshakes, in all and by source. A connection whose transport has no IPs counts in the whole only.
type budgets struct {
	limits   Limits
	all, per Refusal // what a spent budget answers
	rate     Refusal

	mu       sync.Mutex
	inFlight int
	// sources holds those with a handshake in flight or a window that has not ended: at most Handshakes + maxWindows.
	sources map[netip.Prefix]*source
	// oldest to newest are the windows in order of their beginning; count is how many they are.
	oldest, newest *source
	count          int
}

// source is an IPv4 address or an IPv6 /64.
type source struct {
	key      netip.Prefix
	inFlight int
	attempts int       // in the window
	since    time.Time // when the window began
	window   bool      // it is in the queue
	next     *source   // in the queue
}

func newBudgets(limits Limits) *budgets {
	spent := func(key, format string, n int) Refusal {
		return Refusal{Code: muxer.CodeTooManyStarts, Stage: StageTransport, Limit: key, Reason: fmt.Sprintf(format, n)}
	}
	return &budgets{
		limits:  limits,
		all:     spent(keyHandshakes, "%d handshakes are in flight", limits.Handshakes),
		per:     spent(keyHandshakesPerIP, "%d handshakes from this IP are in flight", limits.HandshakesPerIP),
		rate:    spent(keyAttemptsPerIP, "%d connections from this IP within 10 s", limits.AttemptsPerIP),
		sources: make(map[netip.Prefix]*source),
	}
}

// take takes a place for a connection from key, or says which budget is spent. It never waits. A zero key has no budget of its own.
func (b *budgets) take(key netip.Prefix, now time.Time) (*source, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sweep(now)
	var s *source
	if key.IsValid() {
		s = b.sources[key]
		if s == nil {
			s = &source{key: key}
			b.sources[key] = s
		}
		if !s.window {
			b.open(s, now)
		}
		if s.attempts >= b.limits.AttemptsPerIP {
			return nil, refused(b.rate)
		}
		s.attempts++
		if s.inFlight >= b.limits.HandshakesPerIP {
			return nil, refused(b.per)
		}
	}
	if b.inFlight >= b.limits.Handshakes {
		return nil, refused(b.all)
	}
	b.inFlight++
	if s != nil {
		s.inFlight++
	}
	return s, nil
}

// refused makes a Refusal that belongs to its receiver.
func refused(r Refusal) error { return &r }

// give returns a place.
func (b *budgets) give(s *source, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.inFlight--
	if s != nil {
		s.inFlight--
		b.forget(s)
	}
	b.sweep(now)
}

// open begins a new window of s.
func (b *budgets) open(s *source, now time.Time) {
	if b.count >= maxWindows {
		b.close()
	}
	s.attempts, s.since, s.window = 0, now, true
	if b.newest == nil {
		b.oldest = s
	} else {
		b.newest.next = s
	}
	b.newest = s
	b.count++
}

// close ends the oldest window.
func (b *budgets) close() {
	s := b.oldest
	b.oldest = s.next
	if b.oldest == nil {
		b.newest = nil
	}
	s.next, s.window = nil, false
	b.count--
	b.forget(s)
}

// sweep ends the windows whose time is over. A window is ended once for each time it was opened, so this costs a constant per connection.
func (b *budgets) sweep(now time.Time) {
	for b.oldest != nil && now.Sub(b.oldest.since) >= attemptWindow {
		b.close()
	}
}

// forget drops a source of which nothing is left to count.
func (b *budgets) forget(s *source) {
	if s.inFlight == 0 && !s.window {
		delete(b.sources, s.key)
	}
}

// sourceOf is what the remote's address counts as: an IPv4 address (also when it is written as IPv6) or an IPv6 /64, which is what one subscriber
// has. It is not valid for an address without an IP.
func sourceOf(addr ma.Multiaddr) netip.Prefix {
	ip := ipOf(addr)
	bits := 64
	if ip.Is4() {
		bits = 32
	}
	p, err := ip.Prefix(bits) // fails for the zero Addr only
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// ipOf is the IP of a multiaddr, unmapped and without zone; not valid when it has none.
func ipOf(addr ma.Multiaddr) netip.Addr {
	for i := range addr {
		switch addr[i].Code() {
		case ma.P_IP6ZONE:
			continue
		case ma.P_IP4, ma.P_IP6:
			ip, _ := netip.AddrFromSlice(addr[i].RawValue())
			return ip.Unmap()
		}
		break
	}
	return netip.Addr{}
}
