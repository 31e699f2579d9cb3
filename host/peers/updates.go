package peers

import (
	"bytes"
	"context"
	"sync"

	"github.com/switchyard-p2p/switchyard/transport"
)

// UpdateStatus is what an Update tells.
type UpdateStatus uint8

const (
	Up UpdateStatus = iota
	Down
)

// Update is the latest state of a peer.
type Update struct {
	ID      transport.NodeID
	Peering uint64 // that came up or went down: see host.Peering
	Status  UpdateStatus
	Inbound bool
	Guest   bool // a plain libp2p peer, which names no network
	// Found, on the first Up of a link, says that the peer was lost with many others (a cut) and is back. Both parts of
	// the network have their own peers by now, so a source should exchange addresses with it at once, NeedsPeers or
	// not.
	Found    bool
	Channels []byte           // those that both ends serve
	Reason   *DisconnectError // on Down
}

// Subscription delivers the latest state of each peer, coalesced. A peer that went down and up again since the last
// Next is reported once, as Down and then Up if the subscriber had seen it up. A peer that came and went unseen is not
// reported at all. An Up for a peer that the subscriber has seen up says that its channels have changed. A slow
// subscriber delays nobody and costs at most one entry a peer.
type Subscription struct {
	ready waker
	done  chan struct{} // closed by close
	leave func()        // takes the subscription off the manager's list

	mu      sync.Mutex  // taken after Manager.mu where both are held
	stop    func() bool // releases the watch of Subscribe's context
	err     error       // why it is closed; nil while it is open
	seen    map[transport.NodeID]bool
	pending map[transport.NodeID]*pendingUpdate
	order   []*pendingUpdate // the pending ones, longest waiting first
}

// pendingUpdate is what a subscriber has not yet received about a peer: that it went down, that it is up, or both in
// this order.
type pendingUpdate struct {
	id       transport.NodeID
	down, up *Update
}

// subscribers are the open subscriptions. Manager.mu guards them.
type subscribers map[*Subscription]struct{}

// Subscribe tells of peers that come and go until ctx ends, starting with those that are up.
func (m *Manager) Subscribe(ctx context.Context) *Subscription {
	s := &Subscription{
		ready: newWaker(), done: make(chan struct{}),
		seen: map[transport.NodeID]bool{}, pending: map[transport.NodeID]*pendingUpdate{},
	}
	s.leave = func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.subs, s)
	}
	m.mu.Lock()
	m.subs[s] = struct{}{}
	for _, p := range m.sorted() {
		if p.up {
			s.put(p.update())
		}
	}
	m.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { s.close(ctx.Err()) })
	s.mu.Lock()
	s.stop = stop
	s.mu.Unlock()
	return s
}

// Next waits for the next update. It returns an error when ctx, or the context of Subscribe, ends; ErrStopped after
// Close.
func (s *Subscription) Next(ctx context.Context) (Update, error) {
	for {
		if u, ok, err := s.take(); ok || err != nil {
			return u, err
		}
		select {
		case <-s.ready:
		case <-s.done:
		case <-ctx.Done():
			return Update{}, ctx.Err()
		}
	}
}

// Close ends the subscription; it may be called twice.
func (s *Subscription) Close() { s.close(ErrStopped) }

func (s *Subscription) close(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	s.pending, s.order, s.seen = nil, nil, nil
	close(s.done)
	stop := s.stop
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	s.leave()
}

// take returns the update that has waited longest.
func (s *Subscription) take() (Update, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return Update{}, false, s.err
	}
	if len(s.order) == 0 {
		return Update{}, false, nil
	}
	e := s.order[0]
	u := e.down
	if u != nil {
		e.down = nil
		delete(s.seen, e.id)
	} else {
		u, e.up = e.up, nil
		s.seen[e.id] = true
	}
	if e.up == nil {
		s.drop(e)
	}
	if len(s.order) > 0 {
		s.ready.wake() // for another caller of Next
	}
	return *u, true, nil
}

// put adds an update to what the subscriber is to be told. It never blocks.
func (s *Subscription) put(u Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	e := s.pending[u.ID]
	switch {
	case u.Status == Down && !s.seen[u.ID]: // it came and went
		if e != nil {
			s.drop(e)
		}
		return
	case e == nil:
		e = &pendingUpdate{id: u.ID}
		s.pending[u.ID] = e
		s.order = append(s.order, e)
	}
	switch {
	case u.Status == Up:
		e.up = &u
	case e.down == nil:
		e.down, e.up = &u, nil
	default: // a link that came up since was not seen: the end of the one that was seen counts
		e.up = nil
	}
	s.ready.wake()
}

// drop removes an entry; it is mostly the first.
func (s *Subscription) drop(e *pendingUpdate) {
	delete(s.pending, e.id)
	for i, other := range s.order {
		if other == e {
			copy(s.order[i:], s.order[i+1:])
			s.order[len(s.order)-1] = nil
			s.order = s.order[:len(s.order)-1]
			return
		}
	}
}

// goUp makes the peer's current link the one that subscribers know of. A peer that was up already is only mentioned
// again if its channels have changed.
func (subs subscribers) goUp(p *peer, peering uint64) {
	l := p.preferred
	if p.up && bytes.Equal(p.channels, l.channels) {
		return
	}
	p.up, p.peering, p.inbound, p.guest, p.channels = true, peering, l.inbound, l.guest, l.channels
	for s := range subs {
		s.put(p.update())
	}
}

// goDown tells subscribers that the peer is gone, if they know of it.
func (subs subscribers) goDown(p *peer, reason *DisconnectError) {
	if !p.up {
		return
	}
	p.up = false
	u := p.update()
	u.Status, u.Reason = Down, reason
	for s := range subs {
		s.put(u)
	}
}

func (p *peer) update() Update {
	return Update{ID: p.id, Peering: p.peering, Status: Up, Inbound: p.inbound, Guest: p.guest, Found: p.found,
		Channels: p.channels}
}
