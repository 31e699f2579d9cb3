package book

import (
	"net/netip"
	"strings"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// entry is a peerstore.Record as the book holds it. Times are nanoseconds since 1970, 0 for the zero time.
type entry struct {
	key       nodeKey
	table     peerstore.Table // Any: in neither table
	score     int8
	share     share
	flags     flags
	rank      rank
	failures  uint16
	missed    uint16 // failed dials since it last worked, in this run, each while another dial worked
	firstSeen int64
	notBefore int64
	due       int64    // when the peer may be dialed; never if it may not
	details   *details // shared if empty: replaced, never changed
	addresses []address
	group     *dueGroup // the peers of its network group that may be dialed; nil while this one may not
	bucket    uint32    // its bucket in its table, plus one; 0 for none
	places    [3]uint32 // its places in bags
}

type flags uint16

const (
	trusted flags = 1 << iota
	unconditional
	private
	busy

	gone      // was removed from the book
	dirty     // is listed as changed
	stored    // was taken as a change or restored, so its removal must be persisted
	contested // is part of a contest
	worldwide // is counted in shares.worldwide
	configured

	kept     = trusted | unconditional | configured // has no bucket, and no limit costs it its place
	operator = trusted | unconditional | private
)

// details are what few peers have: those that were linked, reported, or have an unusual id.
type details struct {
	name             transport.NodeID // the id, if its key is a hash
	scored           int64
	lastConnected    int64
	lastDisconnected int64
	quarantined      int64
	height           uint64
	reason           string
}

var noDetails details

func (e *entry) is(f flags) bool { return e.flags&f != 0 }

// set sets or clears a flag and reports whether that changed it.
func (e *entry) set(f flags, on bool) (changed bool) {
	if e.is(f) == on {
		return false
	}
	e.flags ^= f
	return true
}

func (e *entry) id() transport.NodeID {
	if e.key.hashed {
		return e.details.name
	}
	return transport.NodeIDFromBytes(e.key.raw)
}

// lastWorked returns when any address last worked.
func (e *entry) lastWorked() (last int64) {
	for i := range e.addresses {
		last = max(last, e.addresses[i].lastWorked)
	}
	return last
}

// reach says where a peer is.
type reach int

const (
	nearby  reach = iota // in this machine's networks alone
	oddPort              // at an unusual port, and never linked: it may be no node
	faraway              // reached from anywhere
	reaches
)

// reach returns the farthest reach of e's addresses.
func (e *entry) reach() (best reach) {
	for i := range e.addresses {
		a := &e.addresses[i]
		if !a.routable {
			continue
		}
		best = oddPort
		switch a.portNumber() { // none, CometBFT's, go-libp2p's
		case 0, 26656, 4001:
			return faraway
		}
		if a.lastWorked != 0 {
			return faraway
		}
	}
	return best
}

// address is a peerstore.AddressRecord as the book holds it.
type address struct {
	ip         [16]byte // with the port and the peer's key a transport.Packed, unless other is set
	port       uint16
	counted    bool // in source.kind.fresh
	routable   bool // may be reached from anywhere
	failures   uint32
	other      *transport.Address // an address of another form
	source     *source
	firstHeard int64
	lastHeard  int64
	lastDialed int64
	lastWorked int64
	notBefore  int64
	lastError  string
}

func newAddress(a *transport.Address) address {
	routable := a.IsRoutable()
	if p := a.Packed(); p != nil {
		return address{ip: p.IP, port: p.Port, routable: routable}
	}
	other := *a
	return address{other: &other, routable: routable}
}

// where returns the Address of a, which belongs to e.
func (e *entry) where(a *address) (out transport.Address) {
	if a.other != nil {
		return *a.other
	}
	out.SetPacked(&e.key.raw, &a.ip, a.port)
	return out
}

// is reports whether a, whose peer o names, leads where o does.
func (a *address) is(o *transport.Address) bool {
	p := o.Packed()
	if a.other != nil {
		return p == nil && *a.other == *o
	}
	return p != nil && a.ip == p.IP && a.port == p.Port
}

// addr returns the IP address; false if there is a name or none.
func (a *address) addr() (netip.Addr, bool) {
	if a.other != nil {
		return a.other.IP()
	}
	return netip.AddrFrom16(a.ip).Unmap(), true
}

func (a *address) portNumber() int {
	if a.other != nil {
		return a.other.Port()
	}
	return int(a.port)
}

// deadAfter is how many dials of an address must fail in a row until it counts as dead: it is no longer advertised, and
// is the first to go when a peer has too many.
const deadAfter = 5

// better reports whether a is more worth keeping than o: a configured address, then one that has worked, then one that
// is not dead.
func (a *address) better(o *address) bool {
	if c := a.source.Configured(); c != o.source.Configured() {
		return c
	}
	if worked := a.lastWorked != 0; worked != (o.lastWorked != 0) {
		return worked
	}
	if dead := a.failures >= deadAfter; dead != (o.failures >= deadAfter) {
		return !dead
	}
	if a.lastWorked != o.lastWorked {
		return a.lastWorked > o.lastWorked
	}
	if a.failures != o.failures {
		return a.failures < o.failures
	}
	return a.lastHeard > o.lastHeard
}

// fit adds an address to those of a peer, in the place of the worst one if they are as many as may be. A dead one makes
// room for any: it is the worst only if none is untried. It reports false if the address finds no place.
func (s *sources) fit(all []address, a address, most int) ([]address, bool) {
	w := 0
	for i := range all {
		if all[w].better(&all[i]) {
			w = i
		}
	}
	switch {
	case len(all) < most || a.source.Configured() && all[w].source.Configured():
		return append(all, a), true
	case !a.better(&all[w]) && (all[w].failures < deadAfter || all[w].source.Configured()):
		s.drop(&a)
		return all, false
	}
	s.drop(&all[w])
	all[w] = a
	return all, true
}

// cut bounds a text in bytes, at the boundary of a character, and makes it valid UTF-8. It copies the text, so that a
// small piece does not keep a large message alive.
func cut(s string, limit int) string {
	if s == "" {
		return ""
	}
	if len(s) > limit {
		for limit > 0 && s[limit]&0xc0 == 0x80 {
			limit--
		}
		s = s[:limit]
	}
	return strings.Clone(strings.ToValidUTF8(s, "?"))
}
