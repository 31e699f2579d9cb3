package golibp2p

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/host/peers"
)

// connManager keeps the tags of peers. Which connections stay is decided by the Switchyard host's peer manager: the sum
// of a peer's tags are points that protect its link as good deeds do, and a protected peer is an unconditional one.
type connManager struct {
	t *connTable

	mu    sync.Mutex // guards what follows
	peers map[peer.ID]*tags
}

// maxTagged is how many peers have tags before none without a connection gets one.
const maxTagged = 4096

// tags are what programs say of a peer.
type tags struct {
	first     time.Time
	values    map[string]int
	protected map[string]struct{}
	exempt    bool // we have made the peer unconditional
}

var _ connmgr.ConnManager = (*connManager)(nil)

func newConnManager(t *connTable) *connManager { return &connManager{t: t, peers: map[peer.ID]*tags{}} }

// of returns the tags of a peer, and makes them where there are none. mu is held.
func (m *connManager) of(p peer.ID) *tags {
	t := m.peers[p]
	if t == nil {
		t = &tags{first: time.Now(), values: map[string]int{}, protected: map[string]struct{}{}}
		m.peers[p] = t
	}
	return t
}

// tidy forgets a peer of which nothing is said. mu is held.
func (m *connManager) tidy(p peer.ID) {
	if t := m.peers[p]; t != nil && len(t.values)+len(t.protected) == 0 && !t.exempt {
		delete(m.peers, p)
	}
}

// tell tells the peer manager what is said of a peer that has a connection, and takes back what was said of one that
// has none. mu is held.
func (m *connManager) tell(p peer.ID) {
	t := m.peers[p]
	if t == nil {
		return
	}
	id, err := nodeID(p)
	if err != nil {
		return
	}
	manager, linked := m.t.a.h.PeerManager(), m.t.Connectedness(p) == network.Connected
	if linked {
		peers.Tag(manager, id, t.sum())
	}
	if exempt := linked && len(t.protected) > 0; exempt != t.exempt {
		role := peers.Role{Unconditional: exempt}
		if now, ok := manager.Status(id); ok {
			role.Trusted, role.Private = now.Trusted, now.Private
			if now.Unconditional && exempt { // the operator has said so
				return
			}
		}
		if err := manager.SetRole(id, role); err != nil {
			m.t.a.log.Debug("a protected peer has no role", "peer", p, "error", err)
			return
		}
		t.exempt = exempt
	}
}

// told is called when a peer has got its first connection or lost its last. Its tags are forgotten with the last one,
// as go-libp2p does; it stays protected.
func (m *connManager) told(p peer.ID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tell(p)
	if t := m.peers[p]; t != nil && m.t.Connectedness(p) != network.Connected {
		clear(t.values)
	}
	m.tidy(p)
}

// sum is the value of a peer.
func (t *tags) sum() (n int) {
	for _, v := range t.values {
		n += v
	}
	return n
}

func (m *connManager) TagPeer(p peer.ID, tag string, value int) {
	m.UpsertTag(p, tag, func(int) int { return value })
}

func (m *connManager) UntagPeer(p peer.ID, tag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.peers[p]; t != nil {
		delete(t.values, tag)
		m.tell(p)
		m.tidy(p)
	}
}

// UpsertTag changes a tag. Of peers without a connection only so many can have tags; those of others are dropped.
func (m *connManager) UpsertTag(p peer.ID, tag string, upsert func(int) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.peers[p] == nil && len(m.peers) >= maxTagged && m.t.Connectedness(p) != network.Connected {
		return
	}
	t := m.of(p)
	t.values[tag] = upsert(t.values[tag])
	m.tell(p)
}

func (m *connManager) GetTagInfo(p peer.ID) *connmgr.TagInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.peers[p]
	if t == nil {
		return nil
	}
	info := &connmgr.TagInfo{FirstSeen: t.first, Value: t.sum(), Tags: maps.Clone(t.values),
		Conns: map[string]time.Time{}}
	for _, c := range m.t.ConnsToPeer(p) {
		info.Conns[c.RemoteMultiaddr().String()] = c.Stat().Opened
	}
	return info
}

func (m *connManager) Protect(p peer.ID, tag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(p).protected[tag] = struct{}{}
	m.tell(p)
}

func (m *connManager) Unprotect(p peer.ID, tag string) (protected bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.peers[p]
	if t == nil {
		return false
	}
	delete(t.protected, tag)
	m.tell(p)
	protected = len(t.protected) > 0
	m.tidy(p)
	return protected
}

func (m *connManager) IsProtected(p peer.ID, tag string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.peers[p]
	if t == nil {
		return false
	}
	if tag == "" {
		return len(t.protected) > 0
	}
	_, ok := t.protected[tag]
	return ok
}

// TrimOpenConns does nothing: the peer manager evicts peers when there are too many.
func (*connManager) TrimOpenConns(context.Context) {}

func (*connManager) Notifee() network.Notifiee               { return network.GlobalNoopNotifiee }
func (*connManager) CheckLimit(connmgr.GetConnLimiter) error { return nil }
func (*connManager) Close() error                            { return nil }
