package peers

import (
	"maps"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A guest is a plain libp2p peer: it speaks no hello, so nobody knows of which network it is. Guests have a budget of their own (Config.Guests) for those that
// dial us. One that we dialed because we were told of it is refused: we were looking for peers of our network. What turns out to be a guest is remembered:
// as a quarantine, which keeps it from being dialed and advertised, and ends when a link shows that it has become one of ours; or, for peers that the
// operator named and wants to be dialed, in a list of its own.

// notOurs is why a guest that we were told of is left alone.
const notOurs = "a plain libp2p peer, of no known network"

// rememberGuest writes down that a peer is a guest; mu is held.
func (m *Manager) rememberGuest(id transport.NodeID, now time.Time) {
	if !m.exempt(id) {
		m.store.Update(id, func(rec *peerstore.Record) {
			if len(rec.Addresses) > 0 { // one without is nobody's to dial, and is forgotten with its link
				m.quarantine(rec, notOurs, now)
			}
		})
		return
	}
	if !m.guests[id] {
		m.guests[id] = true
		m.saveGuests()
	}
}

// saveGuests keeps the list over a restart; mu is held.
func (m *Manager) saveGuests() {
	maps.DeleteFunc(m.guests, func(id transport.NodeID, is bool) bool { return !is })
	m.store.SetMeta(metaGuests, joinIDs(slices.Sorted(maps.Keys(m.guests))))
}

// allGuests are the peers that are known to be guests, those in quarantine apart.
func (m *Manager) allGuests() map[transport.NodeID]bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := maps.Clone(m.guests)
	for _, l := range m.links {
		if l.guest {
			out[l.peer.id] = true
		}
	}
	return out
}
