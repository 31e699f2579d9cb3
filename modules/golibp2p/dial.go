package golibp2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
	madns "github.com/multiformats/go-multiaddr-dns"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Bounds of what a /dnsaddr leads to, as in go-libp2p.
const (
	maxDNSDepth = 32
	maxDNSAddrs = 100
)

// lookAgain is how often a dial looks whether the peer that it waits for is still up.
const lookAgain = 500 * time.Millisecond

// dialTries is how often a peer is dialed that comes up and goes at once, such as on a link that we were closing.
const dialTries = 3

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
	if c := t.best(p); c != nil {
		return c, nil
	}
	if t.a.gater != nil && !t.a.gater.InterceptPeerDial(p) {
		return nil, &swarm.DialError{Peer: p, Cause: swarm.ErrGaterDisallowedConnection}
	}
	ctx, cancel := context.WithTimeout(ctx, network.GetDialPeerTimeout(ctx))
	defer cancel()
	failed := &swarm.DialError{Peer: p}
	addrs := t.dialable(ctx, p, failed)
	if len(addrs) == 0 {
		failed.Cause = cmp.Or(failed.Cause, swarm.ErrNoGoodAddresses)
		return nil, failed
	}
	var err error
	for range dialTries {
		c, w := t.wait(p) // before the dial, so that no connection is missed
		if c != nil {
			return c, nil
		}
		var info host.PeerInfo
		if info, err = t.a.h.Dial(ctx, addrs...); err == nil && info.Wire != transport.WireLibp2p {
			err = fmt.Errorf("%w: it is linked over %s", host.ErrNoStreams, info.Wire)
		}
		if err == nil {
			c = t.await(ctx, w, info.ID)
		}
		t.leave(p, w)
		if c != nil {
			return c, nil
		}
		if err != nil && !errors.Is(err, host.ErrNotConnected) {
			break
		}
		err = host.ErrNotConnected // it came up and went
	}
	failed.DialErrors = append(failed.DialErrors, swarm.TransportError{Address: addrs[0].Multiaddr(), Cause: err})
	if failed.Cause = ctx.Err(); failed.Cause == nil {
		failed.Cause = swarm.ErrAllDialsFailed
	}
	return nil, failed
}

// await waits until notifiees have heard of a connection of a peer that is up; nil if there is none any more, or ctx
// ends first.
func (t *connTable) await(ctx context.Context, w *waiters, id transport.NodeID) *conn {
	look := time.NewTicker(lookAgain)
	defer look.Stop()
	for up := true; up; {
		select {
		case <-w.ready:
			return w.c
		case <-look.C: // a peering that ends early is not told of
			_, up = t.a.h.Peer(id)
		case <-ctx.Done():
			up = false
		}
	}
	select {
	case <-w.ready:
		return w.c
	default:
		return nil
	}
}

// allows asks the gater about a connection that is up.
func (a *adapter) allows(c *conn) bool {
	if a.gater == nil {
		return true
	}
	allow, _ := a.gater.InterceptUpgraded(c)
	return allow
}

// dialable returns the addresses of a peer that the host can dial, best first, and notes why it cannot dial others.
func (t *connTable) dialable(ctx context.Context, p peer.ID, failed *swarm.DialError) (out []transport.Address) {
	known := t.a.store.Addrs(p)
	if len(known) == 0 {
		failed.Cause = swarm.ErrNoAddresses
	}
	for _, m := range t.resolve(ctx, p, known) {
		addr, err := transport.NewAddress(m, p.String())
		if err == nil {
			if err = t.a.h.CheckAddress(addr); err != nil {
				err = fmt.Errorf("%w: %w", swarm.ErrNoTransport, err)
			}
		}
		if err == nil && t.a.gater != nil && !t.a.gater.InterceptAddrDial(p, m) {
			err = swarm.ErrGaterDisallowedConnection
		}
		if err != nil {
			failed.DialErrors = append(failed.DialErrors, swarm.TransportError{Address: m, Cause: err})
			continue
		}
		out = append(out, addr)
	}
	slices.SortStableFunc(out, func(a, b transport.Address) int {
		return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a.String(), b.String()))
	})
	return out
}

// place orders addresses as go-libp2p's dialer does: QUIC before TCP, and public addresses before others.
func place(a transport.Address) (n int) {
	if _, err := a.Multiaddr().ValueForProtocol(ma.P_UDP); err != nil {
		n += 2
	}
	if ip, ok := a.IP(); ok && !transport.IsPublicIP(ip) {
		n++
	}
	return n
}

// resolve replaces each /dnsaddr by the addresses to which it leads.
func (t *connTable) resolve(ctx context.Context, p peer.ID, list []ma.Multiaddr) []ma.Multiaddr {
	if !slices.ContainsFunc(list, isDNSAddr) {
		return list
	}
	resolver := swarm.ResolverFromMaDNS{Resolver: madns.DefaultResolver}
	var out []ma.Multiaddr
	for _, m := range list {
		if !isDNSAddr(m) {
			out = append(out, m)
			continue
		}
		named := m
		if _, id := peer.SplitAddr(m); id == "" {
			named = m.Encapsulate(ma.StringCast("/p2p/" + p.String()))
		}
		found, err := resolver.ResolveDNSAddr(ctx, p, named, maxDNSDepth, maxDNSAddrs)
		if err != nil {
			t.a.log.Debug("a name does not resolve", "address", m, "error", err)
		}
		out = append(out, found...)
	}
	return out
}

func isDNSAddr(m ma.Multiaddr) bool { return len(m) > 0 && m[0].Code() == ma.P_DNSADDR }

// CanDial reports whether the host can dial an address of a peer.
func (t *connTable) CanDial(p peer.ID, m ma.Multiaddr) bool {
	addr, err := transport.NewAddress(m, p.String())
	return err == nil && t.a.h.CheckAddress(addr) == nil
}
