package main

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/badger"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ours is our store, with the peer manager above it for the cycle of dials, as a node has it.
type ours struct {
	store   peerstore.Store
	manager *host.PeerManager
	peers   []peer
	from    int
	made    []transport.Address
	now     time.Time
	saves   bool
	stop    func() error // ends what run began
}

var errUnreachable = errors.New("connection refused")

func openOurs(store peerstore.Store, peers []peer) (*ours, error) {
	m, err := host.NewPeerManager(transport.NodeID("ffffffffffffffffffffffffffffffffffffffff"), host.PeerConfig{}, store)
	return &ours{store: store, manager: m, peers: peers, now: time.Now(), stop: func() error { return nil }}, err
}

// limits leave room for all peers that a visit brings, of one kind of source, which may have three quarters of the places.
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
	o.from, o.made = from, make([]transport.Address, 0, to-from)
	for i := from; i < to; i++ {
		a, err := transport.CometAddress(transport.NodeID(o.peers[i].hexID()), o.peers[i].ip.String(), port)
		if err != nil {
			panic(err) // a mistake in makePeers
		}
		o.made = append(o.made, a)
	}
}

func (o *ours) learned() { o.made = nil }

func (o *ours) add(i int) {
	o.store.Add(o.made[i-o.from], peerstore.Source{Kind: "pex", From: transport.NodeID(o.peers[o.peers[i].source].hexID())}, o.now)
}

func (o *ours) pick() bool {
	_, ok := o.store.Next(time.Now(), peerstore.Query{})
	return ok
}

// fail is what a manager does with the store when a dial fails, and nothing else.
func (o *ours) fail() bool {
	now := time.Now()
	r, ok := o.store.Next(now, peerstore.Query{})
	if !ok {
		return false
	}
	o.store.Update(r.ID, func(r *peerstore.Record) { r.Busy = true })
	o.store.Update(r.ID, func(r *peerstore.Record) {
		a := &r.Addresses[0]
		r.Busy = false
		r.Failures++
		a.Failures++
		a.LastDialed, a.NotBefore = now, now.Add(time.Second)
	})
	return true
}

func (o *ours) dialFails() bool {
	d, ok := o.manager.TryDialNext()
	if ok {
		o.manager.DialFailed(d.ID, []host.DialFailure{{Address: d.Addresses[0], Err: errUnreachable}})
	}
	return ok
}

func (o *ours) tell() int      { return len(o.manager.Advertise("", 100)) }
func (o *ours) advertise() int { return len(o.store.Advertise(100, time.Now(), nil)) }
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
