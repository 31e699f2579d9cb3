package golibp2p

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/connmgr"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// connManager keeps the tags of peers. Which connections stay is decided by the Switchyard host's peer manager.
type connManager struct {
	a *adapter

	mu    sync.Mutex // guards what follows
	peers map[peer.ID]*tags
}

// tags are what programs say of a peer.
type tags struct {
	first     time.Time
	values    map[string]int
	protected map[string]struct{}
}

var _ connmgr.ConnManager = (*connManager)(nil)

func newConnManager(a *adapter) *connManager { return &connManager{a: a, peers: map[peer.ID]*tags{}} }

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
	if t := m.peers[p]; t != nil && len(t.values)+len(t.protected) == 0 {
		delete(m.peers, p)
	}
}

func (m *connManager) TagPeer(p peer.ID, tag string, value int) {
	m.UpsertTag(p, tag, func(int) int { return value })
}

func (m *connManager) UntagPeer(p peer.ID, tag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.peers[p]; t != nil {
		delete(t.values, tag)
		m.tidy(p)
	}
}

func (m *connManager) UpsertTag(p peer.ID, tag string, upsert func(int) int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.of(p)
	t.values[tag] = upsert(t.values[tag])
}

func (m *connManager) GetTagInfo(p peer.ID) *connmgr.TagInfo {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.peers[p]
	if t == nil {
		return nil
	}
	info := &connmgr.TagInfo{FirstSeen: t.first, Tags: maps.Clone(t.values), Conns: map[string]time.Time{}}
	for _, v := range t.values {
		info.Value += v
	}
	for _, c := range m.a.conns.ConnsToPeer(p) {
		info.Conns[c.RemoteMultiaddr().String()] = c.Stat().Opened
	}
	return info
}

func (m *connManager) Protect(p peer.ID, tag string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of(p).protected[tag] = struct{}{}
}

func (m *connManager) Unprotect(p peer.ID, tag string) (protected bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.peers[p]
	if t == nil {
		return false
	}
	delete(t.protected, tag)
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
