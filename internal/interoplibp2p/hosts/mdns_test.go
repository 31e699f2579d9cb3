package hosts

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	gomdns "github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/discovery/mdns"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
	"github.com/switchyard-p2p/switchyard/transport"
)

// notifee is what go-libp2p tells of peers that it has found.
type notifee chan peer.AddrInfo

func (n notifee) HandlePeerFound(p peer.AddrInfo) {
	select {
	case n <- p:
	default:
	}
}

// go-libp2p's service of multicast DNS and our source find each other on a network of the test's own, and each dials
// the other at what it has found.
func TestMulticastDNS(t *testing.T) {
	if !programtest.Alone(t) {
		return
	}
	ours := node.Start(t, node.Config{Tune: func(c *host.Config) {
		c.Listen = []ma.Multiaddr{ma.StringCast("/ip4/0.0.0.0/tcp/0"), ma.StringCast("/ip4/0.0.0.0/udp/0/quic-v1")}
	}})
	stack := gopeer.Stacks[0]
	stack.Listen = "/ip4/0.0.0.0/tcp/0"
	theirs := gopeer.Start(t, stack)

	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	source, err := mdns.New(mdns.Default(), discovery.Env{CheckAddress: ours.Host.CheckAddress})
	if err != nil {
		t.Fatal(err)
	}
	found := make(chan transport.Address, 16)
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		if err := source.Run(ctx, ours.Host, func(a transport.Address, _ transport.NodeID) {
			select {
			case found <- a:
			default:
			}
		}); err != nil {
			t.Error(err)
		}
	})
	heard := make(notifee, 16)
	service := gomdns.NewMdnsService(theirs, "", heard)
	if err := service.Start(); err != nil {
		t.Fatal(err)
	}
	defer service.Close()

	select {
	case info := <-heard:
		if info.ID.String() != ours.Key.Public().PeerID() || len(info.Addrs) == 0 {
			t.Errorf("go-libp2p has found %v", info)
		}
		if err := theirs.Connect(ctx, info); err != nil {
			t.Errorf("go-libp2p connects: %v", err)
		}
	case <-ctx.Done():
		t.Error("go-libp2p has not found us")
	}
	select {
	case a := <-found:
		if a.PeerID() != theirs.ID().String() || a.Host() != "10.99.0.1" {
			t.Errorf("we have found %s", a)
		}
		if _, err := ours.Host.Dial(ctx, a); err != nil {
			t.Errorf("we dial %s: %v", a, err)
		}
	case <-ctx.Done():
		t.Error("we have not found go-libp2p")
	}
}
