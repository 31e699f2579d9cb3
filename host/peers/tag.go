package peers

import "github.com/switchyard-p2p/switchyard/transport"

// maxTag bounds the points of Tag, either way.
const maxTag = 1 << 20

// Tag sets the points that a program gives a peer which is linked or being dialed, in place of those before. With the
// points of good deeds (Report) they decide which links are the most useful, and so make room for nobody. They are
// forgotten when the last link of the peer ends, and are no part of its score. Tag reports false for other peers.
func Tag(m *Manager, id transport.NodeID, points int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	if p == nil {
		return false
	}
	p.tag = min(max(points, -maxTag), maxTag)
	return true
}

// worth is how useful a link is: for the services and for the program.
func (l *link) worth() int {
	if l.peer == nil {
		return l.useful
	}
	return l.useful + l.peer.tag
}
