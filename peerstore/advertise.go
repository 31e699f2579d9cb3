package peerstore

import (
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// share is the set of shareable peers that a peer is in.
type share uint8

const (
	unshared    share = iota
	provedWide        // its best address works, and is reachable from anywhere as far as its form tells
	provedNear        // its best address works, and has a meaning only in this machine's network
	claimedWide       // none of its addresses has worked yet
	claimedNear
	shares
)

// reshare puts e into the set that it belongs to now.
func (b *Book) reshare(e *entry) {
	to, global := unshared, false
	if !e.private && e.quarantined <= b.now && b.bans.endOfID(e.id) <= b.now {
		if k := b.toShare(e); k != nil {
			wide := k.addr.IsRoutable()
			switch {
			case k.lastWorked != 0 && wide:
				to = provedWide
				_, global = k.addr.IP()
			case k.lastWorked != 0:
				to = provedNear
			case wide:
				to = claimedWide
			default:
				to = claimedNear
			}
		}
	}
	if global != e.global {
		e.global = global
		b.global += sign(global)
	}
	if to == e.share {
		return
	}
	b.leaveShare(e)
	if to != unshared {
		e.share, e.sharePo = to, uint32(len(b.shared[to]))
		b.shared[to] = append(b.shared[to], e.slot)
	}
}

func (b *Book) unshare(e *entry) {
	b.leaveShare(e)
	if e.global {
		e.global = false
		b.global--
	}
}

// leaveShare moves the set's last peer to the place of e.
func (b *Book) leaveShare(e *entry) {
	if e.share == unshared {
		return
	}
	set := b.shared[e.share]
	last := len(set) - 1
	b.swapShared(set, int(e.sharePo), last)
	b.shared[e.share] = set[:last]
	e.share = unshared
}

func (b *Book) swapShared(set []uint32, i, j int) {
	set[i], set[j] = set[j], set[i]
	b.slots[set[i]].sharePo, b.slots[set[j]].sharePo = uint32(i), uint32(j)
}

// toShare is the address of e to tell to others: neither dead nor banned; one that works before one that may; a routable one
// before a local one; the one that worked last. nil when there is none.
func (b *Book) toShare(e *entry) *known {
	var best *known
	bestWide := false
	for i := range e.addrs {
		k := &e.addrs[i]
		if k.dead() || b.bans.endOf(k.addr) > b.now {
			continue
		}
		wide := k.addr.IsRoutable()
		switch {
		case best == nil:
		case (k.lastWorked != 0) != (best.lastWorked != 0):
			if k.lastWorked == 0 {
				continue
			}
		case wide != bestWide:
			if !wide {
				continue
			}
		case !k.better(best):
			continue
		}
		best, bestWide = k, wide
	}
	return best
}

// Advertise returns up to limit addresses that may be told to others, at most one a peer: see Store. Peers whose address was dialed with success come first, in
// random order; then the others. Addresses that cannot be routed are told only while no verified peer has a public IP: then the
// network is a local one (a test, a laboratory).
//
// It shuffles only as far as it draws, so it costs O(limit), whatever the size of the book.
func (b *Book) Advertise(limit int, now time.Time, skip func(transport.NodeID) bool) []transport.Address {
	if limit <= 0 {
		return nil
	}
	b.mu.Lock()
	b.turn(now)
	sets := [...]share{provedWide, claimedWide}
	order := sets[:]
	if b.global == 0 {
		order = []share{provedWide, provedNear, claimedWide, claimedNear}
	}
	total := 0
	for _, s := range order {
		total += len(b.shared[s])
	}
	b.mu.Unlock()

	out := make([]transport.Address, 0, min(limit, total))
	var drawn []transport.Address
	var seen map[transport.NodeID]struct{} // from the second draw on: the sets may have changed since the first
	for _, s := range order {
		for from, more := 0, true; more && len(out) < limit; {
			if len(out) > 0 && seen == nil {
				seen = make(map[transport.NodeID]struct{}, limit)
				for _, a := range out {
					seen[a.ID()] = struct{}{}
				}
			}
			const spare = 4 // a few are skipped as a rule: the one who asks, for instance
			drawn, from, more = b.draw(drawn[:0], s, from, limit-len(out)+spare)
			for _, a := range drawn {
				if _, twice := seen[a.ID()]; twice || len(out) == limit || skip != nil && skip(a.ID()) {
					continue
				}
				if seen != nil {
					seen[a.ID()] = struct{}{}
				}
				out = append(out, a)
			}
		}
	}
	return out
}

// draw takes up to want random addresses of the set from its places from on, and tells where to go on and whether there is more.
func (b *Book) draw(out []transport.Address, s share, from, want int) ([]transport.Address, int, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(out) < want && from < len(b.shared[s]) {
		set := b.shared[s]
		b.swapShared(set, from, from+b.random.IntN(len(set)-from))
		e := b.slots[set[from]]
		if len(b.bans.nets) > 0 { // its network may have been banned since it was put here
			if b.reindex(e); e.share != s {
				continue // another one took its place
			}
		}
		if len(e.addrs) == 1 { // the usual case: reshare has found it good
			out = append(out, e.addrs[0].addr)
		} else {
			out = append(out, b.toShare(e).addr)
		}
		from++
	}
	return out, from, from < len(b.shared[s])
}
