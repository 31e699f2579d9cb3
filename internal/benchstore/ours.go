package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	peermanager "github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ours is our store, with a peer manager above it for the cycle of dials, as in a node.
type ours struct {
	store   peerstore.Store
	manager *peermanager.Manager
	peers   []peer
	from    int
	made    []transport.Address
	sources []peerstore.Source
	now     time.Time
	room    []peerstore.AddressRecord // reused, as the manager does
	saves   bool
	stop    func() error // ends what run began
}

var errUnreachable = errors.New("connection refused")

// backoff is short, so that a measurement includes peers becoming due again.
const backoff = 5 * time.Millisecond

// pause is how long after a measurement all peers are due again: jitter makes a backoff up to a quarter longer.
const pause = backoff + backoff/2

func openOurs(store peerstore.Store, peers []peer) (*ours, error) {
	m, err := peermanager.New(transport.NodeID("ffffffffffffffffffffffffffffffffffffffff"),
		peermanager.Config{MinBackoff: backoff, MaxBackoff: backoff, MaxTrustedBackoff: backoff,
			MaxRecentBackoff: backoff, DialRate: -1}, store)
	return &ours{store: store, manager: m, peers: peers, now: time.Now(), stop: func() error { return nil }}, err
}

// limits returns limits with room for all peers of a visit: one kind of source may have three quarters of the places.
func limits(peers []peer) peerstore.Limits { return peerstore.Limits{MaxPeers: 2 * len(peers)} }

func openMemory(_ string, peers []peer) (book, error) {
	return openOurs(memory.New(limits(peers)), peers)
}

func openBadger(dir string, peers []peer) (book, error) {
	s, err := badger.Open(filepath.Join(dir, "peers"), badger.Options{Limits: limits(peers)})
	if err != nil {
		return nil, err
	}
	o, err := openOurs(s, peers)
	if err == nil {
		o.saves = true
	}
	return o, err
}

func (o *ours) prepare(from, to int) {
	o.from, o.made, o.sources = from, make([]transport.Address, 0, to-from), make([]peerstore.Source, 0, to-from)
	for i := from; i < to; i++ {
		a, err := transport.CometAddress(transport.NodeID(o.peers[i].hexID()), o.peers[i].ip.String(), port)
		if err != nil {
			panic(err) // a mistake in makePeers
		}
		o.made = append(o.made, a)
		if source := o.peers[i].source; i > from && source == o.peers[i-1].source {
			o.sources = append(o.sources, o.sources[i-from-1])
		} else {
			o.sources = append(o.sources,
				peerstore.Source{Kind: "pex", From: transport.NodeID(o.peers[source].hexID())})
		}
	}
}

func (o *ours) learned() { o.made, o.sources = nil, nil }

func (o *ours) add(i int) { o.store.Add(o.made[i-o.from], o.sources[i-o.from], o.now) }

// learn is add through the manager, as a node does it.
func (o *ours) learn(i int) { o.manager.Add(o.made[i-o.from], o.sources[i-o.from]) }

func (o *ours) next(now time.Time, reserve bool) (peerstore.Record, bool) {
	r, ok := o.store.Next(now, peerstore.Query{Reserve: reserve, Room: o.room})
	if ok {
		o.room = r.Addresses[:0]
	}
	return r, ok
}

func (o *ours) pick() bool {
	_, ok := o.next(time.Now(), false)
	return ok
}

// fail changes the store as a manager does when a dial fails.
func (o *ours) fail() bool {
	now := time.Now()
	r, ok := o.next(now, true)
	if !ok {
		return false
	}
	o.store.Update(r.ID, func(r *peerstore.Record) {
		a := &r.Addresses[0]
		r.Busy = false
		r.Failures++
		a.Failures++
		a.LastDialed, a.NotBefore = now, now.Add(backoff)
	})
	return true
}

func (o *ours) dialFails() bool {
	d, ok := o.manager.TryDialNext()
	if ok {
		o.manager.DialFailed(d.ID, []peermanager.DialFailure{{Address: d.Addresses[0], Err: errUnreachable}})
	}
	return ok
}

func (o *ours) tell() int      { return len(o.manager.Advertise("", 100)) }
func (o *ours) advertise() int { return len(o.store.Advertise(100, time.Now(), nil)) }

// after runs the work that the calls of a measurement put off: it makes failed peers due again, and waits until
// everything is on disk. Of the latter it counts only the processor time.
func (o *ours) after(w *stopwatch) error {
	if err := w.time(func() error { o.store.NextDue(time.Now()); return nil }); err != nil {
		return err
	}
	used := processorTime()
	err := o.written()
	w.used += processorTime() - used
	return err
}

func (o *ours) held() int      { return o.store.Stats().Known }
func (o *ours) written() error { return o.store.Flush(context.Background()) }

// run lets a persistent store write behind.
func (o *ours) run() {
	if !o.saves {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.store.Run(ctx) }()
	o.stop = func() error { cancel(); return <-ended }
}

func (o *ours) close() error { return errors.Join(o.stop(), o.store.Close()) }
