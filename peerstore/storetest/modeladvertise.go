package storetest

import (
	"fmt"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The operation of the model test that advertises peers.

// nets returns how many networks are banned.
func (m *rules) nets() (n int) {
	for t, b := range m.bans {
		if t.ID == "" && m.holds(&b) {
			n++
		}
	}
	return n
}

func (m *model) advertise() {
	limit := m.m.IntN(2*m.limits.MaxPeers) >> m.m.IntN(6)
	m.op = fmt.Sprintf("Advertise %d", limit)
	m.told = m.now
	got := m.s.Advertise(limit, m.now, nil)
	seen := make(map[transport.NodeID]bool, len(got))
	var may *peerstore.Record  // one that may work was told of
	var near *peerstore.Record // and one that cannot be routed
	for i, a := range got {
		r := m.peers[a.ID()]
		if i > 0 && got[i-1].ID() == a.ID() {
			m.checkWay(r, got[:i], a)
			continue
		}
		if r == nil || seen[a.ID()] {
			m.fatalf("told of %s (known %v, twice %v)", a, r != nil, seen[a.ID()])
		}
		seen[a.ID()] = true
		best := m.toShare(r)
		if best == nil || best.Address != a {
			m.fatalf("told of %s of %+v, want %+v", a, *r, best)
		}
		if works(best) && may != nil && !m.hidden[a.ID()] && !m.hidden[may.ID] {
			m.fatalf("%+v, which works, behind %+v, which may", *r, *may)
		}
		if !works(best) {
			may = r
		}
		if !a.IsRoutable() {
			near = r
		}
	}
	m.settle() // only now: a peer may lose its place in the same call, to another whose network's ban was found
	if len(got) == limit && m.step%m.w.every > 100 {
		return
	}
	wide, local := 0, 0 // who must be told of, if there is room
	var missed *peerstore.Record
	var global *peerstore.Record // a proven peer with a public IP: then those are not told of that cannot be routed
	maybe := false               // the store may still take somebody for one
	for id, r := range m.peers {
		for i := range r.Addresses {
			ip, isIP := r.Addresses[i].Address.IP()
			maybe = maybe || works(&r.Addresses[i]) && isIP && transport.IsPublicIP(ip)
		}
		best := m.toShare(r)
		if best == nil || m.hidden[id] {
			continue
		}
		if best.Address.IsRoutable() {
			wide++
			if !seen[id] {
				missed = r
			}
		} else {
			local++
		}
		ip, isIP := best.Address.IP()
		if works(best) && isIP && transport.IsPublicIP(ip) {
			global = r
		}
	}
	if near != nil && global != nil {
		m.fatalf("told of %+v, which cannot be routed, beside the proven %+v", *near, *global)
	}
	if !maybe {
		wide += local
	}
	// Each peer of a banned network that the store meets gives its place to another, which the store may so pass by.
	if len(got) > limit || len(got) < limit && len(seen) < wide-len(m.hidden) {
		m.fatalf("told of %d peers, and %d may be told of: %+v", len(seen), wide, missed)
	}
}

// checkWay checks a further address of an advertised peer: it leads there another way, and is as good as the best.
func (m *model) checkWay(r *peerstore.Record, told []transport.Address, a transport.Address) {
	best := m.toShare(r)
	for _, o := range told {
		if o.ID() == a.ID() && o.Wire() == a.Wire() && o.Network() == a.Network() {
			m.fatalf("told of %s beside %s", a, o)
		}
	}
	for _, k := range r.Addresses {
		if k.Address != a {
			continue
		}
		if k.Failures > 0 || m.bannedAddr(a) || a.IsRoutable() != best.Address.IsRoutable() || works(best) &&
			!works(&k) && k.Source.Kind != "inbound" {
			m.fatalf("told of %+v beside %+v", k, best)
		}
		m.did("told of another way")
		return
	}
	m.fatalf("told of %s, which is not known", a)
}
