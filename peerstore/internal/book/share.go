package book

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// share is the set of shareable peers that a peer is in.
type share uint8

const (
	unshared   share = iota
	provedFar        // its best address works, and may be reached from anywhere as far as its form tells
	provedNear       // its best address works, and has a meaning only in this machine's network
	claimedFar       // none of its addresses has worked yet
	claimedNear
	shareKinds
)

// shares are the peers that may be told to others.
type shares struct {
	sets      [shareKinds]bag
	worldwide int // peers whose best address works and has a public IP
}

// fileShare puts e into the set in which it belongs.
func (c *catalog) fileShare(e *entry) {
	s := &c.shares
	best, to := c.toShare(e)
	world := false
	if to == provedFar {
		_, world = best.addr()
	}
	if e.set(worldwide, world) {
		s.worldwide += 2*b2i(world) - 1
	}
	if e.share == to {
		return
	}
	if e.share != unshared {
		s.sets[e.share].remove(byShare, e)
	}
	if e.share = to; to != unshared {
		s.sets[to].add(byShare, e)
	}
}

// toShare returns the address of e to tell to others, neither dead nor banned, and the set in which that puts e: an
// address that works before one that may, a routable one before a local one, an IP before a name, the one that worked
// last. It returns nil if there is none. A peer whose quarantine has ended is told once it has shown what it is: before
// its next dial, others would hear of a node of another network.
func (c *catalog) toShare(e *entry) (best *address, set share) {
	if e.is(private|gone) || e.details.quarantined != 0 || c.bans.endOfNode(&e.key) > c.now {
		return nil, unshared
	}
	for i := range e.addresses {
		a := &e.addresses[i]
		if a.failures >= deadAfter || c.bans.endOfAddress(a) > c.now {
			continue
		}
		of := claimedNear // the best sets come first
		switch far := a.routable; {
		case a.lastWorked != 0 && far:
			of = provedFar
		case a.lastWorked != 0:
			of = provedNear
		case far:
			of = claimedFar
		}
		if best == nil || of < set || of == set && a.tellable(best) {
			best, set = a, of
		}
	}
	return best, set
}

// tellable reports whether a is better told to others than o, of the same set: of two that work an IP before a name,
// which nobody resolves who hears it from others.
func (a *address) tellable(o *address) bool {
	if name := a.hasName(); name != o.hasName() && a.lastWorked != 0 && o.lastWorked != 0 {
		return !name
	}
	return a.better(o)
}

func (a *address) hasName() bool { return a.other != nil && a.other.HasName() }

// Advertise returns up to limit addresses that may be told to others: see peerstore.Store. Peers whose address was
// dialed with success come first, in random order; then the others. Unroutable addresses are told only while no proven
// peer has a public IP: then the network is a local one (a test, a laboratory).
//
// It costs O(limit), whatever the size of the book.
func (b *Book) Advertise(limit int, now time.Time, skip func(transport.Address) bool) []transport.Address {
	if limit <= 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.c
	c.advanceClock(now, someMoves)
	order := []share{provedFar, claimedFar}
	if c.shares.worldwide == 0 {
		order = []share{provedFar, provedNear, claimedFar, claimedNear}
	}
	out := make([]transport.Address, 0, min(limit, len(c.peers)))
	told := make(map[*entry]bool) // of the pages before: the set may change while skip is asked
	for _, set := range order {
		for at := 0; len(out) < limit && at < len(c.shares.sets[set]); {
			page := c.shares.sample(set, at, limit-len(out), c.random)
			at += len(page)
			from := len(out)
			var ends []int
			for _, e := range page {
				if len(out) == limit {
					break
				}
				if skip != nil {
					if told[e] {
						continue
					}
					told[e] = true
				}
				out = c.offer(out, e, set, limit)
				ends = append(ends, len(out))
			}
			if skip != nil {
				out = b.dropSkipped(out, from, ends, skip)
			}
		}
	}
	return out
}

// sample returns up to n random entries of a set, other than the first at ones: it moves them to the places behind
// these.
func (s *shares) sample(set share, at, n int, random *rand.Rand) []*entry {
	all := s.sets[set]
	end := min(at+n, len(all))
	for i := at; i < end; i++ {
		all.swap(byShare, i, i+random.IntN(len(all)-i))
	}
	return slices.Clone(all[at:end])
}

// offer appends the address of e to share, and those beside it that may be told: over other wires or transports, and no
// worse. out grows to at most limit. It offers nothing of a peer that is no longer in the set, as its network was
// banned.
func (c *catalog) offer(out []transport.Address, e *entry, set share, limit int) []transport.Address {
	best, now := c.toShare(e)
	if e.share != set || now != set {
		c.file(e, change{})
		return out
	}
	far := set == provedFar || set == claimedFar
	from := len(out)
	out = append(out, e.where(best))
	for i := range e.addresses {
		a := &e.addresses[i]
		if len(out) == limit {
			break
		}
		proven := a.lastWorked != 0 || best.lastWorked == 0 || a.saidItself()
		if a == best || a.failures > 0 || !proven || c.bans.endOfAddress(a) > c.now || a.routable != far {
			continue
		}
		where := e.where(a)
		sameWay := func(o transport.Address) bool { return o.Wire() == where.Wire() && o.Network() == where.Network() }
		if !slices.ContainsFunc(out[from:], sameWay) {
			out = append(out, where)
		}
	}
	return out
}

// saidItself reports whether the peer itself has told us of the address, once it was linked: so some address of it
// works.
func (a *address) saidItself() bool {
	kind := a.source.Source.Kind
	return kind == "inbound" || kind == "peer"
}

// dropSkipped removes the addresses of skipped peers from the end of out, which begins at from. It asks without the
// lock.
func (b *Book) dropSkipped(out []transport.Address, from int, ends []int, skip func(transport.Address) bool) (
	kept []transport.Address) {
	b.mu.Unlock()
	defer b.mu.Lock()
	kept = out[:from]
	for _, end := range ends {
		if from < end && !skip(out[from]) {
			kept = append(kept, out[from:end]...)
		}
		from = end
	}
	return kept
}

var _ peerstore.Store = (*Book)(nil)
