package storetest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The rules of the contract, as the model has them.

// holds says that a ban has not ended.
func (m *model) holds(b *peerstore.Ban) bool { return b.Until.IsZero() || b.Until.After(m.now) }

// forEver stands for the end of a ban that has none.
var forEver = time.Unix(1<<40, 0)

// banEnd is when the bans of a node and an IP (either may be empty) end that hold; the zero time when there is none.
func (m *model) banEnd(id transport.NodeID, ip netip.Addr) (end time.Time) {
	for t, b := range m.bans {
		switch {
		case t.ID != "" && t.ID != id, t.ID == "" && !t.Prefix.Contains(ip), !m.holds(&b):
		case b.Until.IsZero():
			return forEver
		case b.Until.After(end):
			end = b.Until
		}
	}
	return end
}

func (m *model) bannedID(id transport.NodeID) bool { return !m.banEnd(id, netip.Addr{}).IsZero() }

func (m *model) bannedAddr(a transport.Address) bool {
	ip, _ := a.IP()
	return !m.banEnd("", ip).IsZero()
}

// barred says that a ban or a quarantine may keep the store from telling of a peer.
func (m *model) barred(r *peerstore.Record) bool {
	return r.Quarantined.After(m.now) || m.bannedID(r.ID) ||
		slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool {
			return m.bannedAddr(a.Address)
		})
}

// kept says that no limit may cost a peer its place.
func (m *model) kept(r *peerstore.Record) bool { return r.Trusted || r.Unconditional || r.Busy }

// expired peers may be there or not: they go when the store comes across them.
func (m *model) expired(r *peerstore.Record) bool {
	return !m.kept(r) && (m.unseen(r) || m.hopeless(r))
}

// hopeless peers are those of which no address answers any more.
func (m *model) hopeless(r *peerstore.Record) bool {
	return r.Failures >= 10 && !r.Private && len(r.Addresses) > 0 &&
		!slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool {
			last := a.LastSuccess
			if r.LastConnected.After(last) {
				last = r.LastConnected
			}
			lately := !last.IsZero() && (a.Failures < 20 || m.now.Sub(last) < 7*24*time.Hour)
			return a.Failures < 10 || lately || a.Source.Kind == peerstore.SourceConfig
		})
}

func (m *model) unseen(r *peerstore.Record) bool {
	limit := m.now.Add(-m.w.limits.Expiry)
	if r.FirstSeen.After(limit) || r.LastConnected.After(limit) || r.LastDisconnected.After(limit) {
		return false
	}
	return !slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool {
		return a.LastHeard.After(limit) || a.LastSuccess.After(limit)
	})
}

// worse says that a should have lost its place before b. Pruning follows what of a peer's rank does not change with
// time alone: those that never worked go before the others, of these those of the lowest score with the most failures.
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
	return al < bl
}

func worth(r *peerstore.Record) (tried bool, level int) {
	level = 13 + int(r.Score)/25 - int(min(r.Failures, 8))
	if r.Tried() {
		return true, max(level, 0)
	}
	usual := slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool {
		p := a.Address.Port()
		return p == 0 || p == 26656 || p == 4001
	})
	if !usual {
		level -= 3
	}
	return false, max(level, 0)
}

// due tells from when on a peer may be dialed, with and without the bans of networks; false when it may not.
func (m *model) due(r *peerstore.Record) (at, without time.Time, ever bool) {
	if r.Busy || len(r.Addresses) == 0 {
		return at, at, false
	}
	at, without = forEver, forEver
	for _, a := range r.Addresses {
		ip, _ := a.Address.IP()
		at = earliest(at, latest(a.NotBefore, m.banEnd("", ip)))
		without = earliest(without, a.NotBefore)
	}
	rest := latest(latest(r.NotBefore, r.Quarantined), m.banEnd(r.ID, netip.Addr{}))
	at, without = latest(at, rest), latest(without, rest)
	return at, without, at.Before(forEver)
}

func (m *model) dueNow(r *peerstore.Record) bool {
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

// useful orders the addresses of a peer: one that works, one that may, a dead one; then by when it worked, failures,
// and when it was heard of.
func useful(a *peerstore.AddressRecord) [4]int64 {
	var k [4]int64
	switch {
	case a.Failures >= 5:
	case a.LastSuccess.IsZero():
		k[0] = 1
	default:
		k[0] = 2
	}
	if !a.LastSuccess.IsZero() {
		k[1] = a.LastSuccess.UnixNano()
	}
	k[2], k[3] = -int64(a.Failures), a.LastHeard.UnixNano()
	return k
}

func moreUseful(a, b *peerstore.AddressRecord) bool {
	x, y := useful(a), useful(b)
	return slices.Compare(x[:], y[:]) > 0
}

// group is the network group of the best address by which a peer may be dialed now.
func (m *model) group(r *peerstore.Record) peerstore.Group {
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
	return m.s.Groups().Of(best.Address)
}

// routable says that some address of a peer may be reached from anywhere.
func routable(r *peerstore.Record) bool {
	return slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool { return a.Address.IsRoutable() })
}

// toShare is the address of a peer that may be told to others; nil when there is none.
func (m *model) toShare(r *peerstore.Record) (best *peerstore.AddressRecord) {
	if r.Private || r.Quarantined.After(m.now) || m.bannedID(r.ID) {
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
		case moreUseful(a, best):
			best = a
		}
	}
	return best
}

func works(a *peerstore.AddressRecord) bool { return !a.LastSuccess.IsZero() }

// foreign says that an address means nothing where the teller is.
func foreign(a transport.Address, teller netip.Addr) bool {
	teller = teller.Unmap()
	if !teller.IsValid() || teller.IsLoopback() || a.IsRoutable() {
		return false
	}
	return transport.IsPublicIP(teller) || a.IsLoopback()
}

// bounded is a record within the store's bounds, as Update keeps it.
func (m *model) bounded(id transport.NodeID, r peerstore.Record) *peerstore.Record {
	r.ID = id
	r.Score = min(max(r.Score, peerstore.MinScore), peerstore.MaxScore)
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
		if len(list) < m.w.limits.MaxAddresses {
			list = append(list, a)
			continue
		}
		if w := least(list); moreUseful(&a, &list[w]) {
			list[w] = a
		}
	}
	r.Addresses = list
	return &r
}

// least is the first of the least useful addresses.
func least(list []peerstore.AddressRecord) (w int) {
	for i := range list {
		if moreUseful(&list[w], &list[i]) {
			w = i
		}
	}
	return w
}
