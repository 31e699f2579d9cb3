package cometbft

import (
	"maps"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// table has the peers that the host has brought up, and the dials of the Switch that wait for one.
type table struct {
	accept chan *peer // to transportOf.Accept

	mu      sync.Mutex
	byLink  map[uint64]*peer // by the number of the peering
	latest  map[transport.NodeID]*peer
	waiting map[transport.NodeID]chan *peer
	ended   map[transport.NodeID]time.Time // peers that went down less than justEnded ago, and perhaps some more
}

// justEnded is how long after the end of a link its peer may be about to dial us, because the link has ended there too.
const justEnded = 5 * time.Second

func (t *table) init() {
	t.accept = make(chan *peer)
	t.byLink = map[uint64]*peer{}
	t.latest = map[transport.NodeID]*peer{}
	t.waiting = map[transport.NodeID]chan *peer{}
	t.ended = map[transport.NodeID]time.Time{}
}

// get returns the peer of a peering; nil for one that has ended.
func (t *table) get(number uint64) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byLink[number]
}

// all returns the peers that are up.
func (t *table) all() []*peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]*peer, 0, len(t.byLink))
	for _, p := range t.byLink {
		list = append(list, p)
	}
	return list
}

// add takes a peer that has come up. If a dial waits for it, the dial gets it, and add reports true. Otherwise Accept
// is to get it.
func (t *table) add(p *peer) (taken bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byLink[p.peering.Number()], t.latest[p.id] = p, p
	w := t.waiting[p.id]
	if w == nil {
		return false
	}
	delete(t.waiting, p.id)
	w <- p // it has room for one
	return true
}

// remove forgets a peer whose peering has ended.
func (t *table) remove(p *peer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byLink, p.peering.Number())
	if t.latest[p.id] == p {
		delete(t.latest, p.id)
	}
	maps.DeleteFunc(t.ended, func(_ transport.NodeID, at time.Time) bool { return time.Since(at) >= justEnded })
	t.ended[p.id] = time.Now()
}

// await registers a dial that waits for a peer. It returns nil if the peer is up, or another dial waits for it. ended
// reports that a link of the peer has just ended.
func (t *table) await(id transport.NodeID) (w chan *peer, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.latest[id]
	if t.waiting[id] != nil || p != nil && !p.ending() {
		return nil, false
	}
	w = make(chan *peer, 1)
	t.waiting[id] = w
	at, was := t.ended[id]
	return w, p != nil || was && time.Since(at) < justEnded
}

// forget ends the wait of a dial. It returns the peer if that has come meanwhile.
func (t *table) forget(id transport.NodeID, w chan *peer) *peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.waiting[id] == w {
		delete(t.waiting, id)
	}
	select {
	case p := <-w:
		return p
	default:
		return nil
	}
}
