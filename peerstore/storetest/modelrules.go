package storetest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// rules are the rules of the contract, as the model implements them, over the bans and the time.
type rules struct {
	limits peerstore.Limits
	groups *peerstore.Groups
	now    time.Time
	bans   map[peerstore.Target]peerstore.Ban
	// evidence of this run: failed dials of a peer while others worked, and when an address last worked, by whether it
	// is routable
	missed map[transport.NodeID]int
	worked map[bool]time.Time
}

// holds reports whether a ban has not ended.
func (m *rules) holds(b *peerstore.Ban) bool { return b.Until.IsZero() || b.Until.After(m.now) }

// forever stands for the end of a ban that has none.
var forever = time.Unix(1<<40, 0)

// banEnd returns when the last ban of a node or an IP (either may be empty) ends; the zero time if there is none.
func (m *rules) banEnd(id transport.NodeID, ip netip.Addr) (end time.Time) {
	for t, b := range m.bans {
		switch {
		case t.ID != "" && t.ID != id, t.ID == "" && !t.Prefix.Contains(ip), !m.holds(&b):
		case b.Until.IsZero():
			return forever
		case b.Until.After(end):
			end = b.Until
		}
	}
	return end
}

func (m *rules) bannedID(id transport.NodeID) bool { return !m.banEnd(id, netip.Addr{}).IsZero() }

func (m *rules) bannedAddr(a transport.Address) bool {
	ip, _ := a.IP()
	return !m.banEnd("", ip).IsZero()
}

// barred reports whether a ban or a quarantine may keep the store from advertising a peer.
func (m *rules) barred(r *peerstore.Record) bool {
	return r.Quarantined.After(m.now) || m.bannedID(r.ID) ||
		slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool {
			return m.bannedAddr(a.Address)
		})
}

// kept reports whether no limit may cost the peer its place.
func (m *rules) kept(r *peerstore.Record) bool {
	return r.Trusted || r.Unconditional || r.Busy ||
		slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool { return a.Source.Configured() })
}

// hopeless reports whether the peer may be forgotten, as it does not answer.
func (m *rules) hopeless(r *peerstore.Record) bool {
	last, missed := latest(r.LastConnected, lastSuccess(r)), m.missed[r.ID]
	return missed >= 10 && !m.kept(r) && !r.Private &&
		(last.IsZero() || missed >= 20 && m.now.Sub(last) >= 7*24*time.Hour) &&
		!slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool { return a.Failures < 10 })
}

// judge takes note of what an update says of a dial.
func (m *rules) judge(old, r *peerstore.Record, told time.Time) {
	var dialed time.Time
	for _, a := range old.Addresses {
		dialed = latest(dialed, a.LastDialed)
	}
	switch far := routable(r); {
	case lastSuccess(r).After(lastSuccess(old)):
		m.worked[far] = latest(m.worked[far], earliest(lastSuccess(r), told))
		m.missed[r.ID] = 0
	case r.Failures == 0:
		m.missed[r.ID] = 0
	case r.Failures > old.Failures && m.worked[far].After(dialed):
		m.missed[r.ID]++
	}
}

func lastSuccess(r *peerstore.Record) (last time.Time) {
	for _, a := range r.Addresses {
		last = latest(last, a.LastSuccess)
	}
	return last
}

// worse reports whether a should have lost its place before b. Pruning follows the part of a rank that does not change
// with time alone: peers that never worked go first, of these those with the lowest score and the most failures.
func worse(a, b *peerstore.Record) bool {
	at, al := worth(a)
	bt, bl := worth(b)
	if at != bt {
		return bt
	}
	if at {
		const recency = 2 // levels, which change with time
		return al+recency < bl
	}
	const unheard = 1
	return al+unheard < bl
}

// byWorth orders records, those that go first before the others.
func byWorth(a, b *peerstore.Record) int {
	at, al := worth(a)
	bt, bl := worth(b)
	switch {
	case at == bt:
		return al - bl
	case at:
		return 1
	}
	return -1
}

func worth(r *peerstore.Record) (tried bool, level int) {
	level = 13 + int(r.Score)/25 - int(min(r.Failures, 8))
	if r.Tried() {
		return true, max(level, 0)
	}
	if reach(r) == 1 {
		level -= 3
	}
	return false, max(level, 0)
}

// due returns from when on a peer may be dialed, with and without the bans of networks; false if it may not.
func (m *rules) due(r *peerstore.Record) (at, without time.Time, ever bool) {
	if r.Busy || len(r.Addresses) == 0 {
		return at, at, false
	}
	at, without = forever, forever
	for _, a := range r.Addresses {
		ip, _ := a.Address.IP()
		at = earliest(at, latest(a.NotBefore, m.banEnd("", ip)))
		without = earliest(without, a.NotBefore)
	}
	rest := latest(latest(r.NotBefore, r.Quarantined), m.banEnd(r.ID, netip.Addr{}))
	at, without = latest(at, rest), latest(without, rest)
	return at, without, at.Before(forever)
}

func (m *rules) dueNow(r *peerstore.Record) bool {
	at, _, ever := m.due(r)
	return ever && !at.After(m.now)
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// useful orders the addresses of a peer: configured, worked, untried, dead; then by the last success, failures, and
// last report.
func useful(a *peerstore.AddressRecord) [6]int64 {
	var k [6]int64
	if a.Source.Configured() {
		k[0] = 1
	}
	if !a.LastSuccess.IsZero() {
		k[1], k[3] = 1, a.LastSuccess.UnixNano()
	}
	if a.Failures < 5 {
		k[2] = 1
	}
	k[4], k[5] = -int64(a.Failures), a.LastHeard.UnixNano()
	return k
}

func moreUseful(a, b *peerstore.AddressRecord) bool {
	x, y := useful(a), useful(b)
	return slices.Compare(x[:], y[:]) > 0
}

// group returns the network group of the best address at which a peer may be dialed now.
func (m *rules) group(r *peerstore.Record) peerstore.Group {
	var best *peerstore.AddressRecord
	for i := range r.Addresses {
		a := &r.Addresses[i]
		if a.NotBefore.After(m.now) || m.bannedAddr(a.Address) {
			continue
		}
		if best == nil || moreUseful(a, best) {
			best = a
		}
	}
	return m.groups.Of(best.Address)
}

// routable reports whether some address of a peer is routable.
func routable(r *peerstore.Record) bool {
	return slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool { return a.Address.IsRoutable() })
}

// reach returns 2 for a peer that may be reached from anywhere, 1 if that is at an odd port where none ever worked, and
// 0 for one of a local network.
func reach(r *peerstore.Record) (best int) {
	for _, a := range r.Addresses {
		switch p := a.Address.Port(); {
		case !a.Address.IsRoutable():
		case p == 0 || p == 26656 || p == 4001 || !a.LastSuccess.IsZero():
			return 2
		default:
			best = 1
		}
	}
	return best
}

// toShare returns the address of a peer to advertise; nil if there is none.
func (m *rules) toShare(r *peerstore.Record) (best *peerstore.AddressRecord) {
	if r.Private || !r.Quarantined.IsZero() || m.bannedID(r.ID) {
		return nil
	}
	for i := range r.Addresses {
		a := &r.Addresses[i]
		if a.Failures >= 5 || m.bannedAddr(a.Address) {
			continue
		}
		switch {
		case best == nil:
			best = a
		case works(a) != works(best):
			if works(a) {
				best = a
			}
		case a.Address.IsRoutable() != best.Address.IsRoutable():
			if a.Address.IsRoutable() {
				best = a
			}
		case works(a) && a.Address.HasName() != best.Address.HasName(): // nobody resolves a name that others tell
			if best.Address.HasName() {
				best = a
			}
		case moreUseful(a, best):
			best = a
		}
	}
	return best
}

func works(a *peerstore.AddressRecord) bool { return !a.LastSuccess.IsZero() }

// foreign reports whether an address is meaningless here, as the reporter is on another network.
func foreign(a transport.Address, teller netip.Addr) bool {
	teller = teller.Unmap()
	if !teller.IsValid() || teller.IsLoopback() || a.IsRoutable() {
		return false
	}
	return transport.IsPublicIP(teller) || a.IsLoopback()
}

// bounded returns a record within the store's bounds, as Update keeps it.
func (m *rules) bounded(id transport.NodeID, r peerstore.Record) *peerstore.Record {
	r.ID = id
	r.Score = min(max(r.Score, peerstore.MinScore), peerstore.MaxScore)
	r.Failures = min(r.Failures, 65_535)
	r.QuarantineReason = strings.Clone(r.QuarantineReason[:min(len(r.QuarantineReason), 128)])
	var list []peerstore.AddressRecord
	for _, a := range r.Addresses {
		if a.Address.IsZero() || a.Address.ID() != id ||
			slices.ContainsFunc(list, func(o peerstore.AddressRecord) bool {
				return o.Address == a.Address
			}) {
			continue
		}
		a.LastError = a.LastError[:min(len(a.LastError), 128)]
		a.Source = kept(a.Source)
		list, _ = m.fit(list, a)
	}
	r.Addresses = list
	return &r
}

// fit adds an address to a list, in the place of the least useful one if that has as many as it may.
func (m *rules) fit(list []peerstore.AddressRecord, a peerstore.AddressRecord) ([]peerstore.AddressRecord, bool) {
	if len(list) < m.limits.MaxAddresses {
		return append(list, a), true
	}
	w := 0
	for i := range list {
		if moreUseful(&list[w], &list[i]) {
			w = i
		}
	}
	switch least := &list[w]; {
	case least.Source.Configured() && a.Source.Configured():
		return append(list, a), true
	case moreUseful(&a, least) || least.Failures >= 5 && !least.Source.Configured():
		list[w] = a
		return list, true
	}
	return list, false
}
