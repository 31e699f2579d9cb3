package crawl

import (
	"maps"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// pace keeps the time between dials to an IP and to a network. It is the loop's own.
type pace struct {
	next map[gate]time.Time // when a dial may go there
	busy map[gate]bool      // IPs that are being visited
}

// gate is what dials are counted for: an IP (the /64 of an IPv6), or the /24 or /48 of a public one. On this machine,
// which is the user's own, each port counts as an IP. The zero gate lets all pass.
type gate struct {
	where netip.Prefix
	port  int
}

// maxPaced is how many entries make note look for those that have passed.
const maxPaced = 1 << 14

func newPace() *pace { return &pace{next: make(map[gate]time.Time), busy: make(map[gate]bool)} }

// gates returns the gates of an address; zero ones for a memory address, and where there is no second one.
func gates(a transport.Address) (ip, network gate) {
	addr, ok := a.IP()
	if !ok {
		return
	}
	addr = addr.Unmap()
	one, many := 32, 24
	if addr.Is6() {
		one, many = 64, 48
	}
	ip.where, _ = addr.Prefix(one)
	if addr.IsLoopback() {
		ip = gate{netip.PrefixFrom(addr, addr.BitLen()), a.Port()}
	}
	if transport.IsPublicIP(addr) {
		network.where, _ = addr.Prefix(many)
	}
	return ip, network
}

// until returns when the address may be dialed, or when to ask again: a time that has passed, or the zero one, if it
// may be now.
func (p *pace) until(a transport.Address, now time.Time) time.Time {
	ip, network := gates(a)
	if p.busy[ip] {
		return now.Add(perNetwork)
	}
	at, other := p.next[ip], p.next[network]
	if other.After(at) {
		at = other
	}
	return at
}

// begin counts a dial, and keeps the IP until end.
func (p *pace) begin(a transport.Address, now time.Time) {
	p.note(a, now)
	if ip, _ := gates(a); ip.where.IsValid() {
		p.busy[ip] = true
	}
}

// end says that a visit is over.
func (p *pace) end(a transport.Address) {
	ip, _ := gates(a)
	delete(p.busy, ip)
}

// note counts a dial.
func (p *pace) note(a transport.Address, now time.Time) {
	if len(p.next) > maxPaced {
		maps.DeleteFunc(p.next, func(_ gate, at time.Time) bool { return !at.After(now) })
	}
	ip, network := gates(a)
	if ip.where.IsValid() {
		p.next[ip] = now.Add(perIP)
	}
	if network.where.IsValid() {
		p.next[network] = now.Add(perNetwork)
	}
}
