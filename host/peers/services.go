package peers

import (
	"maps"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Advertise chooses up to limit addresses to tell the peer to: verified ones first, none of private, quarantined or
// banned peers, or of guests. Of a peer that can be dialed over several wires or transports one address of each is
// among them, where it is as good as the first.
func (m *Manager) Advertise(to transport.NodeID, limit int) []transport.Address {
	m.mu.Lock()
	hidden := maps.Clone(m.guests.named) // those in quarantine are left out anyway
	maps.Copy(hidden, m.private)
	for _, l := range m.links {
		if l.guest {
			hidden[l.peer.id] = true
		}
	}
	m.mu.Unlock()
	return m.store.Advertise(limit, time.Now(), func(a transport.Address) bool {
		id := a.ID()
		return id == to || id == m.self || hidden[id]
	})
}

// SetHeight records how far a peer has come, or, for our own id, how far we have. Unknown ids are ignored.
func (m *Manager) SetHeight(id transport.NodeID, height uint64) {
	if id != m.self {
		m.store.Update(id, func(rec *peerstore.Record) { rec.Height = height })
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.height = height
}

// Height returns the last known height of a peer, or our own; 0 if it is not known.
func (m *Manager) Height(id transport.NodeID) uint64 {
	if id == m.self {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.height
	}
	rec, _ := m.store.Get(id)
	return rec.Height
}
