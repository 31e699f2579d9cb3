package peers

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// EvictNext waits for a link that must end.
func (m *Manager) EvictNext(ctx context.Context) (Eviction, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Eviction{}, err
		}
		if e, ok := m.TryEvictNext(); ok {
			m.evictor.wake.wake() // there may be more, for another caller
			return e, nil
		}
		select {
		case <-m.evictor.wake:
		case <-ctx.Done():
		}
	}
}

// TryEvictNext is EvictNext that does not wait. Links whose end was asked for go first, in order; then, beyond
// capacity, links that are not protected.
func (m *Manager) TryEvictNext() (Eviction, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.evictor.next()
}

// Disconnect asks for the end of the links to a peer, by way of EvictNext. It reports whether there was one.
func (m *Manager) Disconnect(id transport.NodeID, reason *DisconnectError) bool {
	if reason == nil {
		reason = &DisconnectError{Code: muxer.CodeRequested}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.evictor.request(id, reason)
}

// Ban refuses a node id, an IP or a network until the given time (the zero time: for ever), and ends the links that
// match, by way of EvictNext. Its error says that the target is none of these, or that the ban could not be written to
// disk; in the second case it holds in memory all the same.
func (m *Manager) Ban(target peerstore.Target, until time.Time, reason string) error {
	switch {
	case (target.ID == "") == !target.Prefix.IsValid():
		return errors.New("ban: name a node id, an IP or a network, one of them")
	case target.ID == m.self:
		return errors.New("ban: that is our own node id")
	}
	now := time.Now()
	if !until.IsZero() && !until.After(now) {
		return errors.New("ban: its end is in the past")
	}
	err := m.store.Ban(peerstore.Ban{Target: target, Since: now, Until: until, Reason: cut(reason, 256)})
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.sorted() {
		match := p.id == target.ID
		for _, l := range append(p.open(), p.retired...) {
			match = match || target.Prefix.IsValid() && target.Prefix.Contains(l.ip.Unmap().WithZone(""))
		}
		if match {
			m.evictor.request(p.id, &DisconnectError{Code: muxer.CodeBanned, Reason: reason})
		}
	}
	return err
}

// Unban lifts a ban. It reports whether there was one. Its error is as for Ban.
func (m *Manager) Unban(target peerstore.Target) (bool, error) {
	was, err := m.store.Unban(target)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.offences.drop(target) {
		m.offences.save(m.store, time.Now())
	}
	if was && target.ID != "" {
		m.store.Update(target.ID, func(rec *peerstore.Record) { rec.NotBefore = time.Time{} })
	}
	m.dialWake.wake()
	return was, err
}

// Banned reports whether an id or an IP (either may be empty) is banned, and by which entry.
func (m *Manager) Banned(id transport.NodeID, ip netip.Addr) (peerstore.Ban, bool) {
	return m.store.Banned(id, ip, time.Now())
}
