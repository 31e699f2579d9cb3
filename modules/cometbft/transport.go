package cometbft

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// transportOf is a p2p.Transport over a yard. C is CometBFT's unexported peerConfig, which the methods of that
// interface name: the compiler infers it (see wrap). What is in it we learn elsewhere.
type transportOf[C any] struct{ *yard }

// wrap is called with the method expression p2p.Transport.Accept, from which the compiler infers C. If CometBFT changes
// the interface, the caller no longer compiles.
func wrap[C any](_ func(p2p.Transport, C) (p2p.Peer, error), y *yard) transportOf[C] {
	return transportOf[C]{y}
}

// NetAddress implements p2p.Transport: where we listen.
func (t transportOf[C]) NetAddress() p2p.NetAddress { return t.netAddress() }

// Accept implements p2p.Transport. It returns each peer that comes up, dialed by either end, except those that Dial
// returns.
func (t transportOf[C]) Accept(C) (p2p.Peer, error) {
	for {
		select {
		case p := <-t.peers.accept:
			return p, nil
		case <-t.closing:
			return nil, p2p.ErrTransportClosed{}
		}
	}
}

// Dial implements p2p.Transport.
func (t transportOf[C]) Dial(addr p2p.NetAddress, _ C) (p2p.Peer, error) {
	p, err := t.dial(addr)
	if err != nil {
		return nil, err // not a nil *peer
	}
	return p, nil
}

// Cleanup implements p2p.Transport: the Switch does not take the peer, or has stopped it.
func (t transportOf[C]) Cleanup(p p2p.Peer) {
	if p, ok := p.(*peer); ok {
		p.close(muxer.CodeRequested, "the node does not need this peer now")
	}
}

// dialTimeout bounds a dial that the Switch asks for, with the end of an earlier link of the peer.
const dialTimeout = 30 * time.Second

// dialSpread is how far apart the two ends of a link that has ended dial each other, at most. When both dial at once, a
// stock node may keep one of the links and yet forget the peer: it removes peers by their id, so the end of the link
// that it does not want takes the other one with it (CometBFT p2p/switch.go, stopAndRemovePeer). Keep-alives fail at
// both ends at the same moment, and the Switch dials at once.
const dialSpread = time.Second

var errNotRunning = errors.New("switchyard does not run")

// dial connects to a peer on the Switch's request, and returns it unless Accept does.
func (y *yard) dial(at p2p.NetAddress) (*peer, error) {
	h := y.host.Load()
	if h == nil {
		return nil, errNotRunning
	}
	id := transport.NodeID(at.ID)
	exists := p2p.ErrCurrentlyDialingOrExistingAddress{Addr: at.String()}
	got, ended := y.peers.await(id)
	if got == nil {
		return nil, exists
	}
	ctx, cancel := context.WithTimeout(y.ctx, dialTimeout)
	defer cancel()
	if ended {
		select {
		case p := <-got:
			return p, nil
		case <-time.After(rand.N(dialSpread)):
		case <-ctx.Done():
		}
	}
	addr, err := y.address(at)
	if err == nil {
		_, err = h.Dial(ctx, addr)
	}
	y.learnRole(at, addr, err)
	if err != nil {
		if p := y.peers.forget(id, got); p != nil { // it came up all the same
			return p, nil
		}
		return nil, fmt.Errorf("dial %s: %w", at.String(), err)
	}
	select {
	case p := <-got:
		return p, nil
	case <-ctx.Done():
		if p := y.peers.forget(id, got); p != nil {
			return p, nil
		}
		return nil, fmt.Errorf("dial %s: the link came up and ended: %w", at.String(), context.Cause(ctx))
	}
}

// address returns the address that the Switch names, or, where no wire of this node goes there, one that is known of
// the peer.
func (y *yard) address(at p2p.NetAddress) (transport.Address, error) {
	h := y.host.Load()
	a, err := transport.CometAddress(transport.NodeID(at.ID), at.IP.String(), at.Port)
	if err != nil {
		return a, err
	}
	why := h.CheckAddress(a)
	if why == nil {
		return a, nil
	}
	for _, known := range h.PeerManager().Addresses(a.ID()) {
		if h.CheckAddress(known) == nil {
			return known, nil
		}
	}
	return a, why
}

// netAddress is where we listen, or are about to.
func (y *yard) netAddress() p2p.NetAddress {
	at := p2p.NetAddress{ID: y.info.ID(), IP: net.IPv4zero}
	if h := y.host.Load(); h != nil {
		for _, m := range h.ListenAddrs() {
			if ip, port, ok := hostPort(m); ok {
				at.IP, at.Port = ip, port
				return at
			}
		}
	}
	if said, err := y.info.NetAddress(); err == nil {
		return *said
	}
	return at
}
