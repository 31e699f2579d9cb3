package peers

import (
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// quarantine keeps a peer of another network from being dialed for a while, and from being advertised until a link has
// shown that it is of ours. A trusted one is tried again soon: the
// operator named it.
func (r *recorder) quarantine(rec *peerstore.Record, reason string, now time.Time) {
	d := r.cfg.Quarantine
	if rec.Trusted {
		d = min(d, r.cfg.MaxTrustedBackoff)
	}
	rec.Quarantined, rec.QuarantineReason = later(rec.Quarantined, now.Add(d)), cut(reason, maxLastError)
	r.quarantined[rec.ID] = true
}

// recall finds the peers in quarantine. If the stack has changed, so may have the reason, and it lifts all of them.
func (r *recorder) recall(stack string, now time.Time) {
	var ids []transport.NodeID
	changed := string(r.store.Meta(metaStack)) != stack
	r.store.Range(func(rec peerstore.Record) bool {
		if rec.Quarantined.After(now) || changed && !rec.Quarantined.IsZero() {
			ids = append(ids, rec.ID)
		}
		return true
	})
	for _, id := range ids {
		if r.quarantined[id] = true; changed {
			r.liftQuarantine(id)
		}
	}
	if changed {
		r.store.SetMeta(metaStack, []byte(stack))
	}
}

func (r *recorder) liftQuarantine(id transport.NodeID) {
	delete(r.quarantined, id)
	r.store.Update(id, func(rec *peerstore.Record) { rec.Quarantined, rec.QuarantineReason = time.Time{}, "" })
}

// WrongNetwork quarantines a peer that has proven its key and named another network. An unknown peer is ignored.
func (m *Manager) WrongNetwork(id transport.NodeID, network string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store.Update(id, func(rec *peerstore.Record) {
		m.record.quarantine(rec, fmt.Sprintf("it is of network %.60q", network), time.Now())
	})
}

// SetStack tells what remotes are compared with: our network, channels, wires and transports, in any form. The host
// calls it before it dials. If that is not what it was in the last run, all quarantines end: they may have come of it.
func (m *Manager) SetStack(stack string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record.recall(stack, time.Now())
	m.dialWake.wake()
}

// Quarantined returns the peers in quarantine, in order of node id: they have proven to be of another network, or plain
// libp2p peers, and are neither dialed nor advertised for a while. Status has the reason and the end.
func (m *Manager) Quarantined() []transport.NodeID {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []transport.NodeID
	for id := range m.record.quarantined {
		if rec, _ := m.store.Get(id); rec.Quarantined.After(now) {
			out = append(out, id)
		} else {
			delete(m.record.quarantined, id)
		}
	}
	slices.Sort(out)
	return out
}

// Clear ends the backoffs of a peer and its addresses, and its quarantine: it may be dialed now. It reports whether the
// peer is known.
func (m *Manager) Clear(id transport.NodeID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.record.quarantined, id)
	known := m.store.Update(id, func(rec *peerstore.Record) {
		rec.NotBefore, rec.Quarantined, rec.QuarantineReason = time.Time{}, time.Time{}, ""
		for i := range rec.Addresses {
			rec.Addresses[i].NotBefore = time.Time{}
		}
	})
	m.dialWake.wake()
	return known
}
