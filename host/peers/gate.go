package peers

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// CheckAccept is the gate before anything is read from a raw connection, in either direction: it refuses a banned IP.
// Its error is a *handshake.Refusal.
func (m *Manager) CheckAccept(ip netip.Addr) error {
	if !ip.IsValid() {
		return nil
	}
	if ban, ok := m.store.Banned("", ip, time.Now()); ok {
		return &handshake.Refusal{Code: muxer.CodeBanned, Stage: handshake.StageTransport, Reason: ban.Reason}
	}
	return nil
}

// CheckID is the gate once the remote's key is proven, for wires that can tell the remote later why it is refused: it
// refuses ourselves and what is banned. Its error is a *handshake.Refusal.
func (m *Manager) CheckID(id transport.NodeID, ip netip.Addr) error {
	if id == m.self {
		return &handshake.Refusal{Code: muxer.CodeSelf, Stage: handshake.StageSecurity, Reason: "we reached ourselves"}
	}
	if ban, ok := m.store.Banned(id, ip, time.Now()); ok {
		return &handshake.Refusal{Code: muxer.CodeBanned, Stage: handshake.StageSecurity, Reason: ban.Reason}
	}
	return nil
}

// CheckKey is CheckID for wires that cannot: it refuses all that Arrived would refuse, before more work is
// done.
func (m *Manager) CheckKey(id transport.NodeID, ip netip.Addr, side muxer.Side) error {
	if err := m.CheckID(id, ip); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.admission.checkKey(Arrival{ID: id, IP: ip, Side: side}, time.Now()); d != nil {
		return &handshake.Refusal{Code: d.Code, Stage: handshake.StageSecurity, Limit: d.Limit, Reason: d.Reason}
	}
	return nil
}
