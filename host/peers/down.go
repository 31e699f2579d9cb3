package peers

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// DownPeer is a trusted peer without a link.
type DownPeer struct {
	ID        transport.NodeID
	Addresses []transport.Address
	Failures  uint32    // dials in a row
	LastError string    // of the latest dial
	Since     time.Time // when its last link ended; zero if there was none
	NextTry   time.Time // when the backoffs end; zero if it is due or being dialed
	// Ban is the ban of its id or of all its IPs, until whose end it is not dialed. Without one its Target is zero.
	Ban peerstore.Ban
}

// Down returns the trusted peers without a link, in order of node id.
func (m *Manager) Down() []DownPeer {
	m.mu.Lock()
	dialing := idSet{}
	ids := maps.Clone(m.trusted)
	for id, p := range m.peers {
		if p.inUse != nil {
			delete(ids, id)
		}
		if p.dial != nil {
			dialing[id] = true
		}
	}
	m.mu.Unlock()
	now := time.Now()
	out := make([]DownPeer, 0, len(ids))
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		rec, _ := m.store.Get(id)
		d := DownPeer{ID: id, Failures: rec.Failures, Since: rec.LastDisconnected, NextTry: NextTry(&rec)}
		var failed time.Time
		free := false
		for _, a := range rec.Addresses {
			d.Addresses = append(d.Addresses, a.Address)
			if a.LastError != "" && !a.LastDialed.Before(failed) {
				d.LastError, failed = a.LastError, a.LastDialed
			}
			ip, _ := a.Address.IP()
			ban, banned := m.store.Banned(id, ip, now)
			if free = free || !banned; banned {
				d.Ban = ban
			}
		}
		if ban, banned := m.store.Banned(id, netip.Addr{}, now); banned {
			d.Ban = ban
		} else if free {
			d.Ban = peerstore.Ban{}
		}
		if dialing[id] || !d.NextTry.After(now) {
			d.NextTry = time.Time{}
		}
		out = append(out, d)
	}
	return out
}

// NextTry returns when all backoffs of a peer have ended, of its addresses the first.
func NextTry(rec *peerstore.Record) time.Time {
	var first time.Time
	for i := range rec.Addresses {
		if at := rec.Addresses[i].NotBefore; i == 0 || at.Before(first) {
			first = at
		}
	}
	return later(first, later(rec.NotBefore, rec.Quarantined))
}
