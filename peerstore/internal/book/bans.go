package book

import (
	"net/netip"
	"time"

	"github.com/google/btree"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// bans are the targets that are refused. A network is found by cutting the IP to each length that any banned network
// has: at most 33 look-ups for IPv4 and 129 for IPv6, mostly one or two.
type bans struct {
	nodes   map[nodeKey]peerstore.Ban
	nets    map[netip.Prefix]peerstore.Ban
	lengths [2][129]int // banned networks of each prefix length, for IPv4 and IPv6
	ends    *btree.BTreeG[banEnd]
}

// banEnd orders the bans that end, so that they go in time and the limit can take the next one to end.
type banEnd struct {
	at     int64
	target peerstore.Target
}

func (a banEnd) less(o banEnd) bool {
	if a.at != o.at {
		return a.at < o.at
	}
	if a.target.ID != o.target.ID {
		return a.target.ID < o.target.ID
	}
	return a.target.Prefix.Compare(o.target.Prefix) < 0
}

func newBans() bans {
	return bans{
		nodes: make(map[nodeKey]peerstore.Ban),
		nets:  make(map[netip.Prefix]peerstore.Ban),
		ends:  btree.NewG(degree, banEnd.less),
	}
}

func (s *bans) len() int { return len(s.nodes) + len(s.nets) }

func (s *bans) get(t peerstore.Target) (ban peerstore.Ban, ok bool) {
	if t.ID != "" {
		ban, ok = s.nodes[keyOf(t.ID)]
	} else {
		ban, ok = s.nets[t.Prefix]
	}
	return ban, ok
}

func (s *bans) put(ban peerstore.Ban) {
	s.drop(ban.Target)
	if ban.Target.ID != "" {
		s.nodes[keyOf(ban.Target.ID)] = ban
	} else {
		s.nets[ban.Target.Prefix] = ban
		*s.length(ban.Target.Prefix)++
	}
	if !ban.Until.IsZero() {
		s.ends.ReplaceOrInsert(banEnd{Nano(ban.Until), ban.Target})
	}
}

func (s *bans) drop(t peerstore.Target) bool {
	ban, ok := s.get(t)
	if !ok {
		return false
	}
	if t.ID != "" {
		delete(s.nodes, keyOf(t.ID))
	} else {
		delete(s.nets, t.Prefix)
		*s.length(t.Prefix)--
	}
	if !ban.Until.IsZero() {
		s.ends.Delete(banEnd{Nano(ban.Until), t})
	}
	return true
}

func (s *bans) length(p netip.Prefix) *int {
	return &s.lengths[b2i(!p.Addr().Is4())][p.Bits()]
}

// ofIP returns the ban of an IP that ends last, and its end; 0 if none holds after now.
func (s *bans) ofIP(ip netip.Addr, now int64) (found peerstore.Ban, end int64) {
	ip = ip.Unmap().WithZone("")
	if len(s.nets) == 0 || !ip.IsValid() {
		return found, 0
	}
	lengths := &s.lengths[b2i(!ip.Is4())]
	for bits := 0; bits <= ip.BitLen(); bits++ {
		if lengths[bits] == 0 {
			continue
		}
		p, _ := ip.Prefix(bits)
		if ban, banned := s.nets[p]; banned && endOf(&ban) > max(now, end) {
			found, end = ban, endOf(&ban)
		}
	}
	return found, end
}

// endOf returns when a ban ends; forever for one without an end.
func endOf(ban *peerstore.Ban) int64 {
	if ban.Until.IsZero() {
		return forever
	}
	return min(Nano(ban.Until), forever)
}

// endOfAddress returns when the bans of the IP of a have ended; 0 if there are none.
func (s *bans) endOfAddress(a *address) int64 {
	if len(s.nets) == 0 {
		return 0
	}
	ip, _ := a.addr()
	_, end := s.ofIP(ip, 0)
	return end
}

// endOfNode returns when the ban of a node has ended; 0 if there is none.
func (s *bans) endOfNode(key *nodeKey) int64 {
	if len(s.nodes) == 0 {
		return 0
	}
	if ban, ok := s.nodes[*key]; ok {
		return endOf(&ban)
	}
	return 0
}

// Ban refuses a target: see peerstore.Store. Its errors are a *peerstore.TargetError and peerstore.ErrTooManyBans.
func (b *Book) Ban(ban peerstore.Ban) error {
	target, err := ban.Target.Normal()
	if err != nil {
		return err
	}
	ban.Target, ban.Reason = target, cut(ban.Reason, peerstore.MaxBanReason)
	b.mu.Lock()
	defer b.mu.Unlock()
	old, known := b.c.bans.get(target)
	if !known && b.c.bans.len() >= b.c.limits.MaxBans { // the one that ends first makes room
		next, ok := b.c.bans.ends.Min()
		if !ok {
			return peerstore.ErrTooManyBans
		}
		b.lift(next.target)
	}
	b.c.bans.put(ban)
	if known && endOf(&ban) < endOf(&old) {
		b.eased(target)
	} else if target.ID != "" {
		b.c.refile(target.ID)
	}
	// Peers of a banned network are found when they come up: see settle and sample.
	return nil
}

// Unban lifts a ban: see peerstore.Store. Its error is a *peerstore.TargetError.
func (b *Book) Unban(t peerstore.Target) (bool, error) {
	t, err := t.Normal()
	if err != nil {
		return false, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lift(t), nil
}

func (b *Book) lift(t peerstore.Target) bool {
	if !b.c.bans.drop(t) {
		return false
	}
	b.eased(t)
	return true
}

// eased finds the peers again that a ban held back which now ends earlier. It yields the lock, as a network may have
// very many.
func (b *Book) eased(t peerstore.Target) {
	if t.ID != "" {
		b.c.refile(t.ID)
		return
	}
	var last waiter
	for more := true; more; {
		if last, more = b.c.review(t.Prefix, last); more {
			b.yield()
		}
	}
}

// refile files a peer anew, if it is known.
func (c *catalog) refile(id transport.NodeID) {
	if e := c.find(id); e != nil {
		c.file(e, change{})
	}
}

// Banned returns the ban of an id or an IP (either may be empty) that ends last: see peerstore.Store.
func (b *Book) Banned(id transport.NodeID, ip netip.Addr, now time.Time) (peerstore.Ban, bool) {
	at := Nano(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.c.bans
	ban, end := s.ofIP(ip, at)
	if id == "" || len(s.nodes) == 0 {
		return ban, end > 0
	}
	if byID, banned := s.nodes[keyOf(id)]; banned && endOf(&byID) > max(at, end) {
		return byID, true
	}
	return ban, end > 0
}

// Bans returns the bans that hold at now, in no order.
func (b *Book) Bans(now time.Time) []peerstore.Ban {
	at := Nano(now)
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]peerstore.Ban, 0, b.c.bans.len())
	for _, ban := range b.c.bans.nodes {
		if endOf(&ban) > at {
			out = append(out, ban)
		}
	}
	for _, ban := range b.c.bans.nets {
		if endOf(&ban) > at {
			out = append(out, ban)
		}
	}
	return out
}

// endBans clears some bans away that have ended. Peers that they held back become due by themselves.
func (c *catalog) endBans() (more bool) {
	for range someMoves {
		first, ok := c.bans.ends.Min()
		if !ok || first.at > c.now {
			return false
		}
		c.bans.drop(first.target)
		if first.target.ID != "" {
			c.refile(first.target.ID)
		}
	}
	return true
}

// ClearBans clears the bans away that have ended at now: see peerstore.Store.
func (b *Book) ClearBans(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.c.advanceClock(now, 0); b.c.endBans(); {
		b.yield()
	}
}

// RestoreBan adds a ban as it was persisted. It reports false for one that has ended, is not valid or is one too many.
func (b *Book) RestoreBan(ban peerstore.Ban, now time.Time) bool {
	ban = ban.Begun(now)
	return endOf(&ban) > Nano(now) && b.Ban(ban) == nil
}
