package peerstore

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/google/btree"

	"github.com/switchyard-p2p/switchyard/transport"
)

// maxBanReason bounds Ban.Reason in bytes.
const maxBanReason = 256

// bans are the targets that are refused. Node ids and networks are found in maps: a network by cutting the IP to each length that any
// banned network has, which are at most 33 (IPv4) or 129 (IPv6) look-ups and mostly one or two.
type bans struct {
	ids  map[transport.NodeID]Ban
	nets map[netip.Prefix]Ban
	// byKey is when the bans of ids end.
	byKey map[nodeKey]int64
	// lengths counts the banned networks of each prefix length, for IPv4 and IPv6.
	lengths [2][129]int
	// ends orders the bans that end by their ends, so that they go in time and the limit can take the next to end.
	ends *btree.BTreeG[banEnd]
}

type banEnd struct {
	at     int64
	target Target
}

func (a banEnd) less(o banEnd) bool {
	if a.at != o.at {
		return a.at < o.at
	}
	if a.target.ID != o.target.ID {
		return a.target.ID < o.target.ID
	}
	if c := a.target.Prefix.Addr().Compare(o.target.Prefix.Addr()); c != 0 {
		return c < 0
	}
	return a.target.Prefix.Bits() < o.target.Prefix.Bits()
}

func newBans() bans {
	return bans{
		ids:   make(map[transport.NodeID]Ban),
		nets:  make(map[netip.Prefix]Ban),
		byKey: make(map[nodeKey]int64),
		ends:  btree.NewG(degree, banEnd.less),
	}
}

func (s *bans) len() int { return len(s.ids) + len(s.nets) }

func (s *bans) get(t Target) (Ban, bool) {
	if t.ID != "" {
		ban, ok := s.ids[t.ID]
		return ban, ok
	}
	ban, ok := s.nets[t.Prefix]
	return ban, ok
}

func (s *bans) put(ban Ban) {
	s.drop(ban.Target)
	if ban.Target.ID != "" {
		s.ids[ban.Target.ID] = ban
		s.byKey[keyOf(ban.Target.ID)] = ban.end()
	} else {
		s.nets[ban.Target.Prefix] = ban
		*s.length(ban.Target.Prefix)++
	}
	if !ban.Until.IsZero() {
		s.ends.ReplaceOrInsert(banEnd{nano(ban.Until), ban.Target})
	}
}

func (s *bans) drop(t Target) bool {
	ban, ok := s.get(t)
	if !ok {
		return false
	}
	if t.ID != "" {
		delete(s.ids, t.ID)
		delete(s.byKey, keyOf(t.ID))
	} else {
		delete(s.nets, t.Prefix)
		*s.length(t.Prefix)--
	}
	if !ban.Until.IsZero() {
		s.ends.Delete(banEnd{nano(ban.Until), t})
	}
	return true
}

func (s *bans) length(p netip.Prefix) *int {
	if p.Addr().Is4() {
		return &s.lengths[0][p.Bits()]
	}
	return &s.lengths[1][p.Bits()]
}

// ip finds the ban of an IP that ends last, of those that have not ended at now.
func (s *bans) ip(ip netip.Addr, now int64) (Ban, bool) {
	ip = ip.Unmap().WithZone("")
	if len(s.nets) == 0 || !ip.IsValid() {
		return Ban{}, false
	}
	lengths := &s.lengths[1]
	if ip.Is4() {
		lengths = &s.lengths[0]
	}
	var found Ban
	var last int64
	for bits := 0; bits <= ip.BitLen(); bits++ {
		if lengths[bits] == 0 {
			continue
		}
		p, _ := ip.Prefix(bits)
		if ban, ok := s.nets[p]; ok && ban.end() > max(now, last) {
			found, last = ban, ban.end()
		}
	}
	return found, last != 0
}

// end is when a ban ends, in nanoseconds; never for the zero time.
func (b *Ban) end() int64 {
	if b.Until.IsZero() {
		return never
	}
	return nano(b.Until)
}

// endOf is when the bans of an address's IP have ended; 0 when there is none.
func (s *bans) endOf(a *transport.Address) int64 {
	if len(s.nets) == 0 {
		return 0
	}
	ip, ok := a.IP()
	if !ok {
		return 0
	}
	if ban, ok := s.ip(ip, 0); ok {
		return ban.end()
	}
	return 0
}

// endOfKey is when the ban of a node has ended; 0 when there is none.
func (s *bans) endOfKey(k *nodeKey) int64 {
	if len(s.byKey) == 0 {
		return 0
	}
	return s.byKey[*k]
}

// banOf is when the bans of the IP of k have ended; 0 when there is none.
func (b *Book) banOf(k *known) int64 {
	if len(b.bans.nets) == 0 {
		return 0
	}
	if ip, ok := b.ipOf(k); ok {
		if ban, ok := b.bans.ip(ip, 0); ok {
			return ban.end()
		}
	}
	return 0
}

// banOfNode is when the ban of e has ended; 0 when there is none.
func (b *Book) banOfNode(e *entry) int64 {
	if len(b.bans.byKey) == 0 {
		return 0
	}
	k := e.nodeKey()
	return b.bans.endOfKey(&k)
}

// Ban refuses a target: see Store. Its errors are a *TargetError and ErrTooManyBans. A ban of a target that is banned already replaces it.
func (b *Book) Ban(ban Ban) error {
	target, err := ban.Target.Normal()
	if err != nil {
		return err
	}
	ban.Target = target
	ban.Reason = cut(ban.Reason, maxBanReason)
	b.mu.Lock()
	eased, err := b.ban(ban)
	if err == nil {
		b.journal.ban(ban.Target)
	}
	b.mu.Unlock()
	if eased {
		b.unpark()
	}
	return err
}

// ban also says whether a network's ban was shortened or given up, so that unpark is due.
func (b *Book) ban(ban Ban) (eased bool, err error) {
	old, known := b.bans.get(ban.Target)
	switch {
	case known:
		eased = ban.Target.ID == "" && ban.end() < old.end()
	case b.bans.len() >= b.limits.MaxBans:
		next, ok := b.bans.ends.Min()
		if !ok {
			return false, ErrTooManyBans
		}
		b.lift(next.target)
		eased = next.target.ID == ""
	}
	b.bans.put(ban)
	b.banned.Store(int64(b.bans.len()))
	if slot, e := b.find(ban.Target.ID); ban.Target.ID != "" && e != nil {
		b.reindex(slot, e)
	} // Peers of a banned network are found when they come up: see ready and Advertise.
	return eased, nil
}

// lift ends a ban and finds the peer of a node's ban again. Those of a network's are left to unpark.
func (b *Book) lift(t Target) bool {
	if !b.bans.drop(t) {
		return false
	}
	b.banned.Store(int64(b.bans.len()))
	b.journal.ban(t)
	if slot, e := b.find(t.ID); t.ID != "" && e != nil {
		b.reindex(slot, e)
	}
	return true
}

// Unban lifts a ban: see Store. Its error is a *TargetError.
func (b *Book) Unban(t Target) (bool, error) {
	t, err := t.Normal()
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	was := b.lift(t)
	b.mu.Unlock()
	if was && t.ID == "" {
		b.unpark()
	}
	return was, nil
}

// unpark finds again what a network's ban had put off. It works in steps, as there may be very many.
func (b *Book) unpark() {
	b.mu.Lock()
	parked := slices.Sorted(maps.Keys(b.parked)) // in an order that does not change from run to run
	b.mu.Unlock()
	for slots := range slices.Chunk(parked, maxMoves) {
		b.mu.Lock()
		for _, slot := range slots {
			if _, still := b.parked[slot]; still {
				b.reindex(slot, b.at(slot))
			}
		}
		b.mu.Unlock()
	}
}

// Banned says whether a node or an IP is banned: see Store. Where several bans hold, it tells the one that ends last.
func (b *Book) Banned(id transport.NodeID, ip netip.Addr, now time.Time) (Ban, bool) {
	if b.banned.Load() == 0 {
		return Ban{}, false
	}
	at := nano(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	ban, ok := b.bans.ip(ip, at)
	if byID, banned := b.bans.ids[id]; banned && byID.end() > at && (!ok || byID.end() > ban.end()) {
		return byID, true
	}
	return ban, ok
}

// Bans are the bans that hold at now, in no order.
func (b *Book) Bans(now time.Time) []Ban {
	at := nano(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Ban, 0, b.bans.len())
	for _, ban := range b.bans.ids {
		if ban.end() > at {
			out = append(out, ban)
		}
	}
	for _, ban := range b.bans.nets {
		if ban.end() > at {
			out = append(out, ban)
		}
	}
	return out
}

// maxEnds bounds how many bans that have ended one call clears away.
const maxEnds = 16

func (b *Book) endBans() {
	if b.bans.len() == 0 {
		return
	}
	for range maxEnds {
		first, ok := b.bans.ends.Min()
		if !ok || first.at > b.now {
			return
		}
		b.lift(first.target)
	}
}

// degree of the tree of ends: nodes of 63 to 127 items.
const degree = 64
