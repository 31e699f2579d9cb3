package relay

import (
	"context"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Delivery is an item, or word of items that the subscriber has missed, or both: then those came before the item.
type Delivery struct {
	ID   ID
	Item []byte           // shared: do not change it; nil in a Delivery that only tells what was missed
	From transport.NodeID // the peer that brought it; our own id if we published it
	// Missed counts the items that did not fit the subscription since the last Delivery. MissedIDs are those of the
	// first ones, at most 256. Relay.Item has an item as long as it is kept.
	Missed    uint64
	MissedIDs []ID
}

const (
	defaultBuffer = 1024
	maxMissedIDs  = 256
	// maxSubscriptionBytes bounds the bodies that wait for one subscriber; a single one may be larger.
	maxSubscriptionBytes = 64 << 20
)

// Subscription delivers the items of a relay, in the order in which they are accepted. The relay never waits for it: a
// subscriber that is too slow misses items, and is told so.
type Subscription struct {
	relay *Relay
	most  int
	ready chan struct{} // capacity 1

	// Relay.mu guards what follows.
	queue     []Delivery
	first     int
	bytes     int
	missed    uint64
	missedIDs []ID
	closed    bool
}

// subscriptions are those of a relay, whose mu guards them.
type subscriptions struct {
	open   map[*Subscription]struct{}
	missed uint64
}

// Subscribe returns the items that are accepted from now on, our own too. buffer is how many may wait; 0 means 1,024.
// Close it after use.
func (r *Relay) Subscribe(buffer int) *Subscription {
	if buffer <= 0 {
		buffer = defaultBuffer
	}
	s := &Subscription{relay: r, most: buffer, ready: make(chan struct{}, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.closed = r.stopped; !s.closed {
		r.subs.open[s] = struct{}{}
	}
	return s
}

// push gives a subscriber an item. Relay.mu is held.
func (s *Subscription) push(d Delivery) (missed bool) {
	if n := len(s.queue) - s.first; n >= s.most || n > 0 && s.bytes+len(d.Item) > maxSubscriptionBytes {
		s.missed++
		if len(s.missedIDs) < maxMissedIDs {
			s.missedIDs = append(s.missedIDs, d.ID)
		}
		return true
	}
	d.Missed, d.MissedIDs = s.missed, s.missedIDs
	s.missed, s.missedIDs = 0, nil
	if len(s.queue) == cap(s.queue) && s.first > len(s.queue)/2 {
		n := copy(s.queue, s.queue[s.first:])
		clear(s.queue[n:])
		s.queue, s.first = s.queue[:n], 0
	}
	s.queue = append(s.queue, d)
	s.bytes += len(d.Item)
	s.signal()
	return false
}

func (s *Subscription) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// Next waits for the next delivery. Its error is ErrStopped once the relay has stopped or the subscription is closed,
// and all was delivered; or ctx's.
func (s *Subscription) Next(ctx context.Context) (Delivery, error) {
	for {
		d, ok, err := s.pop()
		if ok || err != nil {
			return d, err
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
			return Delivery{}, ctx.Err()
		}
	}
}

func (s *Subscription) pop() (d Delivery, ok bool, err error) {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	switch {
	case s.first < len(s.queue):
		d = s.queue[s.first]
		s.queue[s.first] = Delivery{}
		if s.first++; s.first == len(s.queue) {
			s.queue, s.first = s.queue[:0], 0
		}
		s.bytes -= len(d.Item)
		return d, true, nil
	case s.missed > 0:
		d = Delivery{Missed: s.missed, MissedIDs: s.missedIDs}
		s.missed, s.missedIDs = 0, nil
		return d, true, nil
	case s.closed:
		return d, false, ErrStopped
	}
	return d, false, nil
}

// Close ends the subscription. It may be called twice.
func (s *Subscription) Close() {
	s.relay.mu.Lock()
	defer s.relay.mu.Unlock()
	s.end()
}

// end closes the subscription. Relay.mu is held.
func (s *Subscription) end() {
	delete(s.relay.subs.open, s)
	s.closed = true
	s.signal()
}
