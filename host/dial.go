package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// maxDialAddresses bounds the addresses of one peer that Dial tries.
const maxDialAddresses = 32

// joins are the calls of Dial that are under way.
type joins struct {
	waiting atomic.Int32 // length of woken, for those who have nobody to wake

	mu      sync.Mutex // guards the fields below, and flight.waiting
	flights map[transport.NodeID]*flight
	woken   map[transport.NodeID][]chan struct{}
}

// flight is a dial that Dial has begun. Further calls of Dial for the peer join it.
type flight struct {
	id      transport.NodeID
	addrs   []transport.Address
	ending  *link              // that ends before the dial begins; nil for none
	waiting int                // calls that want its result; without one the dial is given up
	giveUp  context.CancelFunc // may be called at any time
	done    chan struct{}
	err     error // what came of it; set before done is closed
}

// Dial connects to a peer now, whatever the slots say, and returns when the link is ready, or why not. The addresses
// are of one peer, best first: the next one is tried when one fails, or after Limits.DialStagger, and the first that
// leads to a link is kept. Of more than 32, the first 32 are tried.
//
// A peer that is connected already is returned as it is; if its link is ending, Dial waits for that and dials anew. A
// peer that is being dialed is not dialed twice: Dial waits for that dial, and returns its result; it dials itself if
// that dial fails and has not tried all of the addresses. When ctx ends, so does Dial. So does the dial that it has
// begun, and a link that is not ready, unless other calls wait for it.
func (h *Host) Dial(ctx context.Context, addrs ...transport.Address) (PeerInfo, error) {
	if h.runCtx.Load() == nil {
		return PeerInfo{}, errors.New("the host does not run yet")
	}
	id, addrs, err := dialable(h, addrs)
	if err != nil {
		return PeerInfo{}, err
	}
	woken := h.joins.enter(id) // before the first look, so that nothing is missed after it
	defer h.joins.leave(id, woken)
	for {
		ending := h.links.of(id)
		err := h.peers.BeginDial(addrs...)
		info, up := h.Peer(id)
		f, member := (*flight)(nil), false
		switch {
		case err == nil:
			if f, member = h.joins.fly(h, id, addrs, ending), true; f == nil {
				return PeerInfo{}, ErrStopped
			}
		case asReason(err).Code != muxer.CodeDuplicate:
			return PeerInfo{}, err
		case up:
			return info, nil
		default: // it is being dialed, or has a link that is not up yet
			f, member = h.joins.join(id)
		}
		up, err = h.joins.await(ctx, h, id, f, member, woken)
		if info, linked := h.Peer(id); linked && (up || err == nil) {
			return info, nil
		}
		switch {
		case ctx.Err() != nil:
			return PeerInfo{}, ctx.Err()
		case errors.Is(err, ErrStopped):
			return PeerInfo{}, err
		case !member: // that dial was for others: now it is our turn
		case err == nil:
			return PeerInfo{}, ErrNotConnected // it came up and went
		case !slices.ContainsFunc(addrs, func(a transport.Address) bool { return !slices.Contains(f.addrs, a) }):
			return PeerInfo{}, err
		}
	}
}

// dialable returns whom to dial, and where: without doubles, and without what no transport and wire of ours dials as
// long as something else is there.
func dialable(h *Host, addrs []transport.Address) (transport.NodeID, []transport.Address, error) {
	if len(addrs) == 0 {
		return "", nil, errors.New("dial: no address")
	}
	id := addrs[0].ID()
	var good, bad []transport.Address
	for _, a := range addrs {
		switch {
		case a.ID() == "":
			return "", nil, fmt.Errorf("dial %s: the address names no node id", a)
		case a.ID() != id:
			return "", nil, fmt.Errorf("dial %s and %s: two peers, not one", addrs[0], a)
		case len(good) == maxDialAddresses || slices.Contains(good, a):
		case h.CheckAddress(a) == nil:
			good = append(good, a)
		case len(bad) == 0:
			bad = append(bad, a)
		}
	}
	if len(good) == 0 {
		good = bad
	}
	return id, good, nil
}

// fly begins a dial of a peer that the peer manager lets us dial, once the link that is ending has ended. It returns
// nil if the host stops. The caller is the first that waits for it.
func (j *joins) fly(h *Host, id transport.NodeID, addrs []transport.Address, ending *link) *flight {
	run := *h.runCtx.Load()
	wanted, giveUp := context.WithCancel(context.Background())
	f := &flight{id: id, addrs: addrs, ending: ending, waiting: 1, giveUp: giveUp, done: make(chan struct{})}
	j.mu.Lock()
	if j.flights == nil {
		j.flights = map[transport.NodeID]*flight{}
	}
	j.flights[id] = f
	j.mu.Unlock()
	started := h.tasks.spawn(func() {
		dialing, cancel := context.WithCancel(run)
		defer cancel()
		defer context.AfterFunc(wanted, cancel)()
		if ending != nil {
			_ = ending.waitEnd(dialing)
		}
		sources := make([]string, len(addrs))
		for i := range sources {
			sources[i] = peerstore.SourceOperator
		}
		l, err := h.router.dialPeer(dialing, peers.Dial{ID: id, Addresses: addrs, Sources: sources})
		if err != nil {
			j.land(f, err)
			return
		}
		done := make(chan error, 1)
		l.dialDone = done
		context.AfterFunc(wanted, l.giveUp)
		l.handOver(run)
		j.land(f, <-done)
	})
	if !started {
		j.land(f, ErrStopped)
		return nil
	}
	return f
}

// await waits for the result of a flight, or, if the caller is no member of it, for a reason to look again. up reports
// that there is a link to the peer, which this flight or somebody else has made.
func (j *joins) await(
	ctx context.Context, h *Host, id transport.NodeID, f *flight, member bool, woken <-chan struct{},
) (up bool, err error) {
	var done <-chan struct{}
	stopped := h.tasks.stopped
	if f != nil {
		done, stopped = f.done, nil
	}
	if !member {
		for {
			select {
			case <-done:
				return false, f.err
			case <-woken:
				if f == nil {
					return false, nil
				}
			case <-stopped:
				return false, ErrStopped
			case <-ctx.Done():
				return false, ctx.Err()
			}
		}
	}
	over := ctx.Done()
	for {
		select {
		case <-done:
			j.part(f, false)
			if d := f.err; d != nil && asReason(d).Code == muxer.CodeDuplicate {
				return j.awaitOther(ctx, h, id, woken), f.err
			}
			return false, f.err
		case <-woken:
			if l := h.links.of(id); l != nil && l != f.ending {
				j.part(f, false)
				return true, nil
			}
		case <-over:
			if !j.part(f, true) {
				return false, ctx.Err()
			}
			<-f.done // soon; it may have come up at this moment
			return false, f.err
		}
	}
}

// awaitOther waits for the link in whose favour one that we dialed was refused: the remote has dialed, too, and we may
// not be done with its handshake. It reports whether the peer is up.
func (j *joins) awaitOther(ctx context.Context, h *Host, id transport.NodeID, woken <-chan struct{}) bool {
	t := time.NewTimer(h.cfg.Handshake.Timeout)
	defer t.Stop()
	for {
		if _, up := h.Peer(id); up {
			return true
		}
		select {
		case <-woken:
		case <-t.C:
			return false
		case <-h.tasks.stopped:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// enter makes wake tell the caller of what becomes of dials of a peer, and links to it.
func (j *joins) enter(id transport.NodeID) chan struct{} {
	woken := make(chan struct{}, 1)
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.woken == nil {
		j.woken = map[transport.NodeID][]chan struct{}{}
	}
	j.woken[id] = append(j.woken[id], woken)
	j.waiting.Add(1)
	return woken
}

// leave ends what enter has begun.
func (j *joins) leave(id transport.NodeID, woken chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.waiting.Add(-1)
	j.woken[id] = slices.DeleteFunc(j.woken[id], func(c chan struct{}) bool { return c == woken })
	if len(j.woken[id]) == 0 {
		delete(j.woken, id)
	}
}

// wake tells that a dial of the peer has failed, or that a link to it is up or has ended.
func (j *joins) wake(id transport.NodeID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.woken[id] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// join returns the flight to a peer, nil for none, and whether the caller is a member now: not of one that was given up
// and is about to end.
func (j *joins) join(id transport.NodeID) (f *flight, member bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if f = j.flights[id]; f != nil && f.waiting > 0 {
		f.waiting++
		return f, true
	}
	return f, false
}

// part takes a member out of a flight. It reports whether that was the last one; then giveUp gives the flight up.
func (j *joins) part(f *flight, giveUp bool) (last bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f.waiting--
	if last = f.waiting == 0; last && giveUp {
		f.giveUp()
	}
	return last
}

// land ends a flight.
func (j *joins) land(f *flight, err error) {
	j.mu.Lock()
	if j.flights[f.id] == f {
		delete(j.flights, f.id)
	}
	f.err = err
	j.mu.Unlock()
	close(f.done)
	f.giveUp() // frees its context
}
