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

// entry is a Record as the book holds it: 160 bytes without pointers, times as nanoseconds (0 for the zero time). What most peers never have is
// aside in Book.extras, addresses beyond the first in Book.more.
type entry struct {
	first                known
	key                  [transport.NodeIDSize]byte // nodeKey.raw
	score                int8
	table                Table // Any: in neither
	share                share // which set of shareable peers it is in
	kind                 uint8 // the kind of source it is counted for, plus one; 0: for none
	flags                flags
	set                  setID // which set of peers it is in
	failures             uint32
	pos                  uint32 // its place in the set
	crowd, crowdPos      uint32 // its group in Book.crowds and its place there (see alone), while it may be dialed; afterwards the group may be gone
	sharePos             uint32 // its place in the set of shareable peers
	cell                 uint32 // its place in the buckets of its table, plus one; 0: in none
	extra                uint32 // its number in Book.extras, plus one
	notBefore, firstSeen int64
	due                  int64 // when it may be dialed; never when it may not
}

type flags uint16

const (
	live  flags = 1 << iota // the slot is in use
	named                   // nodeKey.named
	trusted
	unconditional
	private
	busy

	changed   // is listed in the journal
	stored    // was taken from the journal or restored, so its removal is to be told
	global    // counted in Book.global
	parked    // is listed in Book.parked
	routable  // an address may be reached from anywhere
	usualPort // an address has one of the usual ports, or none
	moved     // the address that its bucket follows from may have changed
	worked    // an address has worked since its table was last chosen
	contested // is in one of Book.contests
	waits     // counted in Book.waiting
	kept      = trusted | unconditional
)

func (e *entry) is(f flags) bool { return e.flags&f != 0 }

func (e *entry) setFlag(f flags, on bool) {
	if on {
		e.flags |= f
	} else {
		e.flags &^= f
	}
}

func (e *entry) nodeKey() nodeKey { return nodeKey{e.key, e.is(named)} }

// extra is what peers have that were dialed, linked or reported.
type extra struct {
	scored, lastConnected, lastDisconnected, quarantined int64
	height                                               uint64
	why                                                  uint32 // Book.texts: the quarantine's reason
}

// known is an AddressRecord as the book holds it: 80 bytes without pointers.
type known struct {
	firstHeard, lastHeard, lastDialed, lastWorked, notBefore int64
	source                                                   uint32 // Book.sources; 0: there is no address here
	lastError                                                uint32 // Book.texts
	other                                                    uint32 // its number in Book.others, plus one: an address of another form
	next                                                     uint32 // the number of the peer's next address in Book.more, plus one
	failures                                                 uint32
	ip                                                       [16]byte // with port: a transport.Packed of the peer's id, unless other is set
	port                                                     uint16
}

// isPublic says that the IP of k, which is an address with one, may be reached from anywhere.
func (k *known) isPublic() bool {
	_, ordinary := transport.OrdinaryIPv4(&k.ip)
	return ordinary || transport.IsPublicIP(netip.AddrFrom16(k.ip).Unmap())
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

// never is later than every time: for what has no end.
const never = math.MaxInt64

// nano is t in nanoseconds since 1970, as far as they reach; 0 for the zero time.
func nano(t time.Time) int64 {
	switch s := t.Unix(); {
	case s >= 1 && s < never/int64(time.Second)-1:
		return t.UnixNano()
	case s >= 1:
		return never
	case t.IsZero():
		return 0
	}
	return 1
}

func stamp(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// firstOf and nextOf walk the peer's addresses; nil behind the last.
func (b *Book) firstOf(e *entry) *known {
	if e.first.source == 0 {
		return nil
	}
	return &e.first
}

func (b *Book) nextOf(k *known) *known {
	if k.next == 0 {
		return nil
	}
	return b.more.at(k.next - 1)
}

// lastWorked is when any address last worked.
func (b *Book) lastWorked(e *entry) int64 {
	var last int64
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		last = max(last, k.lastWorked)
	}
	return last
}

func (b *Book) quarantined(e *entry) int64 { return b.extraOf(e).quarantined }

func (b *Book) extraOf(e *entry) (x extra) {
	if e.extra != 0 {
		x = *b.extras.at(e.extra - 1)
	}
	return x
}

// address is the Address of k, which is e's.
func (b *Book) address(e *entry, k *known) (a transport.Address) {
	b.readAddress(e, k, &a)
	return a
}

func (b *Book) readAddress(e *entry, k *known, a *transport.Address) {
	if k.other != 0 {
		*a = *b.others.at(k.other - 1)
	} else {
		a.SetPacked(&e.key, &k.ip, k.port)
	}
}

// ipOf is the IP of k; false where it has a name or none.
func (b *Book) ipOf(k *known) (netip.Addr, bool) {
	if k.other != 0 {
		return b.others.at(k.other - 1).IP()
	}
	return netip.AddrFrom16(k.ip).Unmap(), true
}

// groupOf is the network group of k.
func (b *Book) groupOf(k *known) Group {
	if k.other != 0 {
		return b.limits.Groups.Of(*b.others.at(k.other - 1))
	}
	return b.groupAt(&k.ip, k.port)
}

// groupAt is the network group of a plain address. The last one is kept, as several indexes ask in turn, and a map of autonomous systems is large.
func (b *Book) groupAt(ip *[16]byte, port uint16) Group {
	if number, ordinary := transport.OrdinaryIPv4(ip); ordinary && b.limits.Groups == nil {
		return Group{ip4Group, uint64(number) >> 16}
	}
	if m := &b.grouped; m.port != port || m.ip != *ip || m.group.kind == noGroup {
		*m = grouped{*ip, port, b.limits.Groups.ofIP(netip.AddrFrom16(*ip), int(port))}
	}
	return b.grouped.group
}

// grouped is an address and its group.
type grouped struct {
	ip    [16]byte
	port  uint16
	group Group
}

// leads says that k is the address a.
func (b *Book) leads(k *known, a *transport.Address) bool {
	p := a.Packed()
	if k.other != 0 {
		return p == nil && *b.others.at(k.other - 1) == *a
	}
	return p != nil && k.ip == p.IP && k.port == p.Port
}

// findAddress is the peer's record of an address that names it; nil when it has none.
func (b *Book) findAddress(e *entry, a *transport.Address) *known {
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		if b.leads(k, a) {
			return k
		}
	}
	return nil
}

// setAddress fills in where k leads. An address of another form takes a place in Book.others, which drop gives back.
func (b *Book) setAddress(k *known, a *transport.Address) {
	if p := a.Packed(); p != nil {
		k.ip, k.port = p.IP, p.Port
		return
	}
	k.other = b.others.take() + 1
	*b.others.at(k.other - 1) = *a
}

// drop releases what k holds elsewhere, and clears all of it but the link to the next.
func (b *Book) drop(k *known) {
	b.sources.release(k.source)
	b.texts.release(k.lastError)
	if k.other != 0 {
		b.others.give(k.other - 1)
	}
	*k = known{next: k.next}
}

// addAddress adds k behind the peer's addresses.
func (b *Book) addAddress(e *entry, k known) {
	if e.first.source == 0 {
		e.first = k
		return
	}
	end := &e.first
	for end.next != 0 {
		end = b.more.at(end.next - 1)
	}
	n := b.more.take()
	*b.more.at(n) = k
	end.next = n + 1
}

// dropAddresses forgets all addresses of e.
func (b *Book) dropAddresses(e *entry) {
	if e.first.source == 0 {
		return
	}
	b.drop(&e.first)
	for next := e.first.next; next != 0; {
		n := next - 1
		k := b.more.at(n)
		next = k.next
		b.drop(k)
		b.more.give(n)
	}
	e.first = known{}
}

// describe keeps in e's flags what follows from its addresses alone.
func (b *Book) describe(e *entry) {
	e.flags &^= routable | usualPort
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		var port int
		var far bool
		if k.other != 0 {
			a := b.others.at(k.other - 1)
			port, far = a.Port(), a.IsRoutable()
		} else {
			port, far = int(k.port), k.isPublic()
		}
		e.flags |= pick(far, routable)
		e.flags |= pick(port == 0 || isUsual(port), usualPort)
	}
}

func pick(on bool, f flags) flags {
	if on {
		return f
	}
	return 0
}

// isUsual says that nodes listen at a port as a rule: CometBFT's and go-libp2p's.
func isUsual(port int) bool { return port == 26656 || port == 4001 }

// cut bounds a text in bytes, at the boundary of a character, and makes it valid UTF-8. It is copied, so that a small piece never keeps a large message alive.
func cut(s string, limit int) string {
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
