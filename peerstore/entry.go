package peerstore

import (
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of the fields that a remote can fill, in bytes.
const (
	maxID     = 128 // a node id; transport.ParseNodeID gives at most 59
	maxKind   = 16  // Source.Kind
	maxReason = 128 // LastError, QuarantineReason
)

// entry is a Record as the book holds it: times as nanoseconds (0 for the zero time), and its places in the indexes.
// The places are derived from the record by reindex, and from nothing else.
type entry struct {
	id    transport.NodeID
	addrs []known
	why   string // quarantine reason

	firstSeen, lastConnected, lastDisconnected int64
	notBefore, quarantined, scored             int64
	height                                     uint64
	failures                                   uint32
	score                                      int16
	trusted, unconditional, private, busy      bool

	// Derived.
	changed bool   // is listed in the journal
	stored  bool   // was taken from the journal or restored, so its removal is to be told
	tried   bool   // counted in book.tried
	global  bool   // counted in book.global
	place   place  // which of waiting and ready it is in
	share   share  // which set of shareable peers it is in
	sharePo uint32 // and where
	slot    uint32 // of book.slots
	rank    uint64 // its key in book.all
	due     int64  // its key in book.waiting: when it may be dialed; never when it may not
}

// known is an AddressRecord as the book holds it.
type known struct {
	addr                                          transport.Address
	kind                                          string
	from                                          transport.NodeID
	ip                                            netip.Addr
	lastError                                     string
	firstHeard, lastHeard, lastDialed, lastWorked int64
	notBefore                                     int64
	failures                                      uint32
}

// deadAfter is how many dials of an address must fail in a row until it counts as dead: it is not told to others any more and is the
// first to go when a peer has too many.
const deadAfter = 5

func (k *known) dead() bool { return k.failures >= deadAfter }

// better says whether k is more worth keeping than o: an address that works, then one that may work, then a dead one.
func (k *known) better(o *known) bool {
	if a, b := k.class(), o.class(); a != b {
		return a > b
	}
	if k.lastWorked != o.lastWorked {
		return k.lastWorked > o.lastWorked
	}
	if k.failures != o.failures {
		return k.failures < o.failures
	}
	return k.lastHeard > o.lastHeard
}

func (k *known) class() int {
	switch {
	case k.dead():
		return 0
	case k.lastWorked == 0:
		return 1
	}
	return 2
}

// worst is the index of the address that is least worth keeping.
func worst(addrs []known) int {
	w := 0
	for i := range addrs {
		if addrs[w].better(&addrs[i]) {
			w = i
		}
	}
	return w
}

// never is later than every time: for what has no end.
const never = math.MaxInt64

// nano is t in nanoseconds since 1970, as far as they reach; 0 for the zero time.
func nano(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261:
		return never
	case t.Year() < 1970:
		return 1
	}
	if n := t.UnixNano(); n > 0 {
		return n
	}
	return 1
}

func stamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// read copies e into r, reusing r's addresses.
func (e *entry) read(r *Record) {
	addrs := r.Addresses[:0]
	for i := range e.addrs {
		k := &e.addrs[i]
		addrs = append(addrs, AddressRecord{
			Address: k.addr, Source: Source{Kind: k.kind, From: k.from, IP: k.ip},
			FirstHeard: stamp(k.firstHeard), LastHeard: stamp(k.lastHeard),
			LastDialed: stamp(k.lastDialed), LastSuccess: stamp(k.lastWorked),
			Failures: k.failures, NotBefore: stamp(k.notBefore), LastError: k.lastError,
		})
	}
	*r = Record{
		ID: e.id, Addresses: addrs, FirstSeen: stamp(e.firstSeen),
		Trusted: e.trusted, Unconditional: e.unconditional, Private: e.private,
		Score: e.score, Scored: stamp(e.scored), Height: e.height,
		LastConnected: stamp(e.lastConnected), LastDisconnected: stamp(e.lastDisconnected),
		Failures: e.failures, NotBefore: stamp(e.notBefore),
		Quarantined: stamp(e.quarantined), QuarantineReason: e.why,
		Busy: e.busy,
	}
}

// write copies r into e within the bounds: addresses of other nodes and repeated ones are left out, the least useful beyond
// maxAddresses go, texts are cut, the score saturates. The id stays.
func (e *entry) write(r *Record, maxAddresses int, kinds *kinds) {
	e.firstSeen, e.lastConnected, e.lastDisconnected = nano(r.FirstSeen), nano(r.LastConnected), nano(r.LastDisconnected)
	e.notBefore, e.quarantined, e.scored = nano(r.NotBefore), nano(r.Quarantined), nano(r.Scored)
	e.trusted, e.unconditional, e.private, e.busy = r.Trusted, r.Unconditional, r.Private, r.Busy
	e.height, e.failures = r.Height, r.Failures
	e.score = min(max(r.Score, MinScore), MaxScore)
	e.why = cut(r.QuarantineReason, maxReason, e.why)

	addrs := e.addrs[:0:len(e.addrs)] // as long as no address is added, the memory is used again
	for i := range r.Addresses {
		a := &r.Addresses[i]
		if a.Address.IsZero() || a.Address.ID() != e.id || find(addrs, a.Address) >= 0 {
			continue
		}
		old := "" // reading and writing go in step, so an unchanged text keeps its memory
		if i < len(e.addrs) {
			old = e.addrs[i].lastError
		}
		k := known{
			addr: a.Address, kind: kinds.of(a.Source.Kind), from: a.Source.From, ip: a.Source.IP,
			firstHeard: nano(a.FirstHeard), lastHeard: nano(a.LastHeard),
			lastDialed: nano(a.LastDialed), lastWorked: nano(a.LastSuccess),
			failures: a.Failures, notBefore: nano(a.NotBefore), lastError: cut(a.LastError, maxReason, old),
		}
		if len(k.from) > maxID {
			k.from = ""
		}
		if len(addrs) < maxAddresses {
			addrs = grow(addrs, len(r.Addresses), maxAddresses)
			addrs = append(addrs, k)
		} else if w := worst(addrs); k.better(&addrs[w]) {
			addrs[w] = k
		}
	}
	clear(e.addrs[min(len(addrs), len(e.addrs)):]) // what was dropped must not keep its text alive
	e.addrs = addrs
}

// grow makes room for one more, without the slack that append would leave: most peers have one address for good.
func grow(addrs []known, want, limit int) []known {
	if len(addrs) < cap(addrs) {
		return addrs
	}
	more := make([]known, len(addrs), max(len(addrs)+1, min(want, limit)))
	copy(more, addrs)
	return more
}

func find(addrs []known, a transport.Address) int {
	for i := range addrs {
		if addrs[i].addr == a {
			return i
		}
	}
	return -1
}

// cut bounds a text in bytes, at the boundary of a character, and makes it valid UTF-8. A text equal to old is old: it shares its memory. Any other is copied,
// so that a small piece never keeps a large message alive.
func cut(s string, limit int, old string) string {
	if s == old {
		return old
	}
	return strings.Clone(strings.ToValidUTF8(prefixOf(s, limit), "?"))
}

// prefixOf is the longest whole-character beginning of s of at most limit bytes.
func prefixOf(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && s[limit]&0xc0 == 0x80 { // inside a UTF-8 character
		limit--
	}
	return s[:limit]
}

// kinds keeps one copy of each Source.Kind: there are a handful, told by millions of addresses.
type kinds struct{ seen map[string]string }

// maxKinds bounds the copies kept. Kinds are named by our own code, never by a remote.
const maxKinds = 64

func (k *kinds) of(s string) string {
	s = prefixOf(s, maxKind)
	if one, ok := k.seen[s]; ok {
		return one
	}
	s = strings.Clone(s)
	if len(k.seen) < maxKinds {
		if k.seen == nil {
			k.seen = make(map[string]string)
		}
		k.seen[s] = s
	}
	return s
}
