package peers

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// CheckAccept is the gate before anything is read from a raw connection, either way: an IP that is banned gets no further. Its error is a
// *handshake.Refusal.
func (m *Manager) CheckAccept(ip netip.Addr) error {
	if !ip.IsValid() {
		return nil
	}
	if ban, ok := m.store.Banned("", ip, time.Now()); ok {
		return &handshake.Refusal{Code: muxer.CodeBanned, Stage: handshake.StageTransport, Reason: ban.Reason}
	}
	return nil
}

// CheckID is CheckKey for wires that tell the remote why it is refused, later: it refuses only ourselves and what is banned.
func (m *Manager) CheckID(id transport.NodeID, ip netip.Addr) error {
	if id == m.self {
		return &handshake.Refusal{Code: muxer.CodeSelf, Stage: handshake.StageSecurity, Reason: "we reached ourselves"}
	}
	if ban, ok := m.store.Banned(id, ip, time.Now()); ok {
		return &handshake.Refusal{Code: muxer.CodeBanned, Stage: handshake.StageSecurity, Reason: ban.Reason}
	}
	return nil
}

// CheckKey is the gate once the remote's key is proven: it refuses what Dialed or Accepted would refuse anyway, before more work is done. Its error is a
// *handshake.Refusal.
func (m *Manager) CheckKey(id transport.NodeID, ip netip.Addr, side muxer.Side) error {
	if d := m.checkKey(id, ip, side); d != nil {
		return &handshake.Refusal{Code: d.Code, Stage: handshake.StageSecurity, Limit: d.Limit, Reason: d.Reason}
	}
	return nil
}

func (m *Manager) checkKey(id transport.NodeID, ip netip.Addr, side muxer.Side) *DisconnectError {
	now := time.Now()
	if id == m.self {
		return &DisconnectError{Code: muxer.CodeSelf, Reason: "we reached ourselves"}
	}
	if ban, ok := m.store.Banned(id, ip, now); ok {
		return &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	if p != nil {
		if c := p.current; c != nil && c.evict == nil && c.settled(now) && !p.redialedBy(side, now) {
			return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has another link"}
		}
	}
	if m.exempt(id) || side == muxer.Dialer {
		return nil
	}
	if d := m.checkIP(ip); d != nil {
		return d
	}
	_, _, d := m.slotFor(Arrival{ID: id, Side: side, IP: ip}, p, nil, now)
	return d
}
