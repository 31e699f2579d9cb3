package peerstore

import (
	"slices"
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
func (b *Book) reshare(slot uint32, e *entry) {
	to, wideIP := b.shareOf(e)
	if wideIP != e.is(global) {
		e.setFlag(global, wideIP)
		b.global += sign(wideIP)
	}
	b.setShare(slot, e, to)
}

func (b *Book) setShare(slot uint32, e *entry, to share) {
	if to == e.share {
		return
	}
	b.leaveShare(e)
	if to != unshared {
		e.share, e.sharePos = to, uint32(len(b.shared[to]))
		b.shared[to] = push(b.shared[to], slot)
	}
}

// shareOf is the set that e belongs to, and whether its address to share works and has a public IP.
func (b *Book) shareOf(e *entry) (to share, wideIP bool) {
	if e.is(private) || b.quarantined(e) > b.now || b.banOfNode(e) > b.now {
		return unshared, false
	}
	k, wide := b.toShare(e)
	if to = shareFor(k, wide); to == provedWide {
		_, wideIP = b.ipOf(k)
	}
	return to, wideIP
}

// shareFor is the set of a peer whose address to share is k: see toShare.
func shareFor(k *known, wide bool) share {
	switch {
	case k == nil:
		return unshared
	case k.lastWorked != 0 && wide:
		return provedWide
	case k.lastWorked != 0:
		return provedNear
	case wide:
		return claimedWide
	}
	return claimedNear
}

func (b *Book) unshare(e *entry) {
	b.leaveShare(e)
	if e.is(global) {
		e.flags &^= global
		b.global--
	}
}

// leaveShare moves the set's last peer to the place of e.
func (b *Book) leaveShare(e *entry) {
	if e.share == unshared {
		return
	}
	set := b.shared[e.share]
	end := len(set) - 1
	set[e.sharePos] = set[end]
	b.at(set[end]).sharePos = e.sharePos
	b.shared[e.share] = set[:end]
	e.share = unshared
}

// toShare is the address of e to tell to others: neither dead nor banned; one that works before one that may; a routable one
// before a local one; the one that worked last. nil when there is none.
func (b *Book) toShare(e *entry) (best *known, wide bool) {
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		if k.dead() || b.banOf(k) > b.now {
			continue
		}
		w := e.is(routable)
		if w && (e.first.next != 0) { // of several, each may or may not be
			w = b.isWide(k)
		}
		switch {
		case best == nil:
		case (k.lastWorked != 0) != (best.lastWorked != 0):
			if k.lastWorked == 0 {
				continue
			}
		case w != wide:
			if !w {
				continue
			}
		case !k.better(best):
			continue
		}
		best, wide = k, w
	}
	return best, wide
}

func (b *Book) isWide(k *known) bool {
	if k.other != 0 {
		return b.others.at(k.other - 1).IsRoutable()
	}
	return k.isPublic()
}

// Advertise returns up to limit addresses that may be told to others: see Store. Peers whose address was dialed with success come first, in
// random order; then the others. Addresses that cannot be routed are told only while no verified peer has a public IP: then the
// network is a local one (a test, a laboratory). The texts of the addresses share memory.
//
// It costs O(limit), whatever the size of the book: it steps through the set from a random place in strides of random length, and so meets everybody once, in an
// order that differs each time.
func (b *Book) Advertise(limit int, now time.Time, skip func(transport.Address) bool) []transport.Address {
	if limit <= 0 {
		return nil
	}
	b.mu.Lock()
	b.turn(now, fewMoves)
	order := []share{provedWide, claimedWide}
	if b.global == 0 {
		order = []share{provedWide, provedNear, claimedWide, claimedNear}
	}
	total := 0
	for _, s := range order {
		total += len(b.shared[s])
	}
	b.mu.Unlock()

	out := make([]transport.Address, 0, min(limit, total))
	var seen map[nodeKey]struct{} // from the second draw on: the sets may have changed since the first
	for _, s := range order {
		tour := tour{set: s}
		for more := true; more && len(out) < limit; {
			if seen == nil && len(out) > 0 {
				seen = make(map[nodeKey]struct{}, limit)
				for _, a := range out {
					seen[keyOfNode(a)] = struct{}{}
				}
			}
			from := len(out)
			out, more = b.draft(out, &tour, limit)
			if seen == nil && skip == nil {
				continue
			}
			kept := out[:from]
			var key nodeKey // of the peer whose addresses are looked at; they stand together
			told := false
			for i := from; i < len(out); i++ {
				if k := keyOfNode(out[i]); i == from || k != key {
					key = k
					_, twice := seen[key]
					if told = !twice && (skip == nil || !skip(out[i])); told && seen != nil {
						seen[key] = struct{}{}
					}
				}
				if told {
					kept = append(kept, out[i])
				}
			}
			out = kept
		}
	}
	return out
}

// tour is a walk through a set of shareable peers.
type tour struct {
	set               share
	size              int // of the set when it began; 0: it has not
	start, step, done int
}

// at is the place of the n-th peer of a tour.
func (t *tour) at(n int) int { return int((int64(t.start) + int64(n)*int64(t.step)) % int64(t.size)) }

// draft appends addresses of further peers of the tour, until there are limit in all. It says whether the tour goes on.
func (b *Book) draft(out []transport.Address, t *tour, limit int) (_ []transport.Address, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t.size == 0 {
		t.begin(len(b.shared[t.set]), b.random.IntN)
	}
	var slots [128]uint32
	for len(out) < limit && t.done < t.size {
		// In steps of their own, so that the reads of memory that is far apart do not wait for each other.
		set := b.shared[t.set]
		page := slots[:min(limit-len(out), len(slots), t.size-t.done)]
		for i, at := 0, t.at(t.done); i < len(page); i++ {
			page[i] = noSlot
			if at < len(set) {
				page[i] = set[at]
			}
			if at += t.step; at >= t.size {
				at -= t.size
			}
		}
		for _, slot := range page {
			if slot != noSlot {
				b.at(slot).prefetch()
			}
		}
		for _, slot := range page {
			if len(out) >= limit { // some had several addresses; the rest of the page is for the next time
				break
			}
			t.done++
			if slot == noSlot {
				continue
			}
			e := b.at(slot)
			if len(b.bans.nets) > 0 { // its network may have been banned since it was put here
				if b.reindex(slot, e); e.share != t.set {
					continue
				}
			}
			if k := &e.first; k.next == 0 && k.other == 0 { // as most are
				out = append(out, transport.Address{})
				out[len(out)-1].SetPacked(&e.key, &k.ip, k.port)
			} else {
				out = b.ways(out, slot, e, limit)
			}
		}
	}
	return out, t.done < t.size
}

// noSlot is none that any peer has.
const noSlot = ^uint32(0)

// ways appends the address of e to share, and those beside it that may be told: over other wires or transports, and no worse. out grows to at most limit.
func (b *Book) ways(out []transport.Address, slot uint32, e *entry, limit int) []transport.Address {
	best, wide := b.toShare(e)
	if shareFor(best, wide) != e.share { // the ban of a network has ended since it was put there
		b.reshare(slot, e)
		return out
	}
	from := len(out)
	out = append(out, b.address(e, best))
	for k := b.firstOf(e); k != nil && len(out) < limit; k = b.nextOf(k) {
		if k == best || k.failures > 0 || k.lastWorked == 0 && best.lastWorked != 0 && !b.saidItself(k) || b.banOf(k) > b.now || (e.is(routable) && b.isWide(k)) != wide {
			continue
		}
		a := b.address(e, k)
		if !slices.ContainsFunc(out[from:], func(o transport.Address) bool { return o.Wire() == a.Wire() && o.Network() == a.Network() }) {
			out = append(out, a)
		}
	}
	return out
}

// saidItself says that the peer has told us of the address itself, once it was linked: an address of it works then.
func (b *Book) saidItself(k *known) bool {
	kind := b.sources.at(k.source).Kind
	return kind == "inbound" || kind == "peer"
}

// begin chooses where the tour begins and its stride, which has no divisor in common with the size, so that it meets everybody.
func (t *tour) begin(size int, random func(int) int) {
	if t.size = size; size == 0 {
		return
	}
	t.start, t.step = random(size), 1+random(size)
	for gcd(t.step, size) != 1 {
		t.step = 1 + random(size)
	}
	t.step %= size
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}
