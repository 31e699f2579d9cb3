package golibp2p

import (
	"errors"
	"reflect"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// maxEvents is how many events may wait for slow subscribers. Then those who emit wait too, and with them the streams
// of peers that come up.
const maxEvents = 1024

// events emits what happens on the event bus, in order and on a goroutine of its own: the bus waits for slow
// subscribers.
type events struct {
	emitters map[reflect.Type]event.Emitter
	queue    chan any
	stop     <-chan struct{}
	last     map[peer.ID]network.Connectedness // what was emitted, other than NotConnected; the goroutine's own
}

// newEvents makes the emitters. Events that state something are kept for later subscribers.
func newEvents(bus event.Bus, stop <-chan struct{}) (*events, error) {
	e := &events{emitters: map[reflect.Type]event.Emitter{}, queue: make(chan any, maxEvents), stop: stop,
		last: map[peer.ID]network.Connectedness{}}
	for _, k := range []struct {
		event    any
		stateful bool
	}{
		{new(event.EvtPeerConnectednessChanged), false},
		{new(event.EvtPeerIdentificationCompleted), false},
		{new(event.EvtPeerProtocolsUpdated), false},
		{new(event.EvtLocalProtocolsUpdated), false},
		{new(event.EvtLocalAddressesUpdated), true},
		{new(event.EvtLocalReachabilityChanged), true},
	} {
		var opts []event.EmitterOpt
		if k.stateful {
			opts = append(opts, eventbus.Stateful)
		}
		emitter, err := bus.Emitter(k.event, opts...)
		if err != nil {
			e.close()
			return nil, err
		}
		e.emitters[reflect.TypeOf(k.event).Elem()] = emitter
	}
	return e, nil
}

// emit queues an event.
func (e *events) emit(what any) {
	select {
	case e.queue <- what:
	case <-e.stop:
	}
}

// connectedness queues that a peer is connected or not.
func (e *events) connectedness(p peer.ID, c network.Connectedness) {
	e.emit(event.EvtPeerConnectednessChanged{Peer: p, Connectedness: c})
}

// run emits until stop is closed.
func (e *events) run() {
	for {
		select {
		case <-e.stop:
			return
		case what := <-e.queue:
			if c, ok := what.(event.EvtPeerConnectednessChanged); ok && !e.changes(c) {
				continue
			}
			_ = e.emitters[reflect.TypeOf(what)].Emit(what) // it fails once the bus is closed
		}
	}
}

// changes reports whether a peer's connectedness is another one than before.
func (e *events) changes(c event.EvtPeerConnectednessChanged) bool {
	if e.last[c.Peer] == c.Connectedness {
		return false
	}
	if e.last[c.Peer] = c.Connectedness; c.Connectedness == network.NotConnected {
		delete(e.last, c.Peer)
	}
	return true
}

func (e *events) close() error {
	var errs []error
	for _, emitter := range e.emitters {
		errs = append(errs, emitter.Close())
	}
	return errors.Join(errs...)
}
