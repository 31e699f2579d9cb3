package cometbft

import (
	"sync"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// roles are what RPC's dial_peers has made of peers: the Switch keeps these flags until it stops, and so do we.
type roles struct {
	mu      sync.Mutex
	private map[transport.NodeID]bool
	before  map[transport.NodeID]peers.Role // of the peers whose role was changed
}

func (r *roles) setPrivate(id transport.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.private == nil {
		r.private = map[transport.NodeID]bool{}
	}
	r.private[id] = true
}

// learnRole tells the peer manager of the flags that the Switch has for a peer that was dialed. addr is invalid if err
// says so.
func (y *yard) learnRole(at p2p.NetAddress, addr transport.Address, err error) {
	h := y.host.Load()
	if err != nil && addr != (transport.Address{}) && y.sw.IsPeerPersistent(&at) {
		// It is redialed from now on, so its address must be known.
		_ = h.PeerManager().Add(addr, peerstore.Source{Kind: peerstore.SourceOperator})
	}
	y.setRole(h, transport.NodeID(at.ID), y.sw.IsPeerPersistent(&at))
}

// setRole gives a peer the flags that the Switch has for it, beyond those that it has.
func (y *yard) setRole(h *host.Host, id transport.NodeID, persistent bool) {
	m := h.PeerManager()
	now, known := m.Status(id)
	if !known {
		return
	}
	r := &y.roles
	r.mu.Lock()
	defer r.mu.Unlock()
	was := peers.Role{Trusted: now.Trusted, Unconditional: now.Unconditional, Private: now.Private}
	want := peers.Role{
		Trusted:       was.Trusted || persistent,
		Unconditional: was.Unconditional || y.sw.IsPeerUnconditional(p2p.ID(id)),
		Private:       was.Private || r.private[id],
	}
	if want == was {
		return
	}
	if err := m.SetRole(id, want); err != nil {
		y.logger.Error("Cannot change the role of a peer", "peer", id, "err", err)
		return
	}
	if r.before == nil {
		r.before = map[transport.NodeID]peers.Role{}
	}
	if _, changed := r.before[id]; !changed {
		r.before[id] = was
	}
}

// restoreRoles takes back what the Switch forgets when it stops: the manager would remember it.
func (y *yard) restoreRoles() {
	h := y.host.Load()
	if h == nil {
		return
	}
	y.roles.mu.Lock()
	defer y.roles.mu.Unlock()
	for id, role := range y.roles.before {
		if err := h.PeerManager().SetRole(id, role); err != nil {
			y.logger.Debug("Cannot restore the role of a peer", "peer", id, "err", err)
		}
	}
	y.roles.before = nil
}
