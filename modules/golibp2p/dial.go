package golibp2p

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// otherLink is how long a dial waits for the link for which the remote has refused ours.
const otherLink = 5 * time.Second

// DialPeer returns the connection to a peer. Without one it dials the addresses that the peerstore has.
func (t *connTable) DialPeer(ctx context.Context, p peer.ID) (network.Conn, error) {
	c, err := t.dial(ctx, p)
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (t *connTable) dial(ctx context.Context, p peer.ID) (*conn, error) {
	if p == t.a.self {
		return nil, swarm.ErrDialToSelf
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if c, _ := t.best(p); c != nil {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, network.GetDialPeerTimeout(ctx))
	defer cancel()
	failed := &swarm.DialError{Peer: p}
	addrs := t.dialable(p, failed)
	if len(addrs) == 0 {
		if failed.Cause == nil {
			failed.Cause = swarm.ErrNoGoodAddresses
		}
		return nil, failed
	}
	for _, addr := range addrs {
		_, err := t.a.h.Dial(ctx, addr)
		wait := ctx
		if isDuplicate(err) { // another link of the peer comes up, or another call dials it
			var cancel context.CancelFunc
			wait, cancel = context.WithTimeout(ctx, otherLink)
			defer cancel()
		} else if err != nil {
			failed.DialErrors = append(failed.DialErrors, swarm.TransportError{Address: addr.Multiaddr(), Cause: err})
			continue
		}
		if c := t.await(wait, p); c != nil {
			return c, nil
		}
		if err == nil {
			err = host.ErrNotConnected
		}
		failed.DialErrors = append(failed.DialErrors, swarm.TransportError{Address: addr.Multiaddr(), Cause: err})
	}
	if c, _ := t.best(p); c != nil {
		return c, nil
	}
	if failed.Cause = context.Cause(ctx); failed.Cause == nil {
		failed.Cause = swarm.ErrAllDialsFailed
	}
	return nil, failed
}

// await waits for the connection of a peer; nil if ctx ends first.
func (t *connTable) await(ctx context.Context, p peer.ID) *conn {
	for {
		c, ready := t.best(p)
		if c != nil {
			return c
		}
		select {
		case <-ready:
		case <-ctx.Done():
			return nil
		}
	}
}

// isDuplicate reports whether a dial has failed because the peer has, or may get, another link.
func isDuplicate(err error) bool {
	var d *host.DisconnectError
	return errors.As(err, &d) && d.Code == muxer.CodeDuplicate
}

// dialable returns the addresses of a peer that the host can dial, and notes why it cannot dial others.
func (t *connTable) dialable(p peer.ID, failed *swarm.DialError) (out []transport.Address) {
	known := t.a.store.Addrs(p)
	if len(known) == 0 {
		failed.Cause = swarm.ErrNoAddresses
	}
	for _, m := range known {
		addr, err := transport.NewAddress(m, p.String())
		if err == nil {
			err = t.a.h.CheckAddress(addr)
		}
		if err != nil {
			failed.DialErrors = append(failed.DialErrors, swarm.TransportError{Address: m,
				Cause: fmt.Errorf("%w: %w", swarm.ErrNoTransport, err)})
			continue
		}
		out = append(out, addr)
	}
	return out
}

// CanDial reports whether the host can dial an address of a peer.
func (t *connTable) CanDial(p peer.ID, m ma.Multiaddr) bool {
	addr, err := transport.NewAddress(m, p.String())
	return err == nil && t.a.h.CheckAddress(addr) == nil
}
