package services_test

import (
	"context"
	"testing"
	"time"

	libp2p "github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// before is how a program for go-libp2p makes its host.
func before(listen string) (host.Host, error) {
	return libp2p.New(libp2p.ListenAddrStrings(listen), libp2p.UserAgent("chat/1.0"))
}

// after is how it makes one on Switchyard.
func after(ctx context.Context, listen string) (host.Host, error) {
	return golibp2p.NewHost(ctx, golibp2p.Config{Listen: []string{listen}, UserAgent: "chat/1.0"})
}

// join is the rest of the program, which does not change.
func join(ctx context.Context, h host.Host, others ...peer.AddrInfo) (*pubsub.Topic, error) {
	ps, err := pubsub.NewGossipSub(ctx, h)
	if err != nil {
		return nil, err
	}
	for _, other := range others {
		if err := h.Connect(ctx, other); err != nil {
			return nil, err
		}
	}
	return ps.Join("chat")
}

// The program before and the one after talk to each other.
func TestMigrate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const listen = "/ip4/127.0.0.1/tcp/0"
	old := must(before(listen))
	defer old.Close()
	fresh := must(after(ctx, listen))
	defer fresh.Close()
	a := must(join(ctx, old))
	b := must(join(ctx, fresh, peer.AddrInfo{ID: old.ID(), Addrs: old.Addrs()}))
	there := must(b.EventHandler())
	defer there.Cancel()
	sub := must(a.Subscribe())
	defer sub.Cancel()
	must(there.NextPeerEvent(ctx))
	check(b.Publish(ctx, []byte("hello")))
	if m := must(sub.Next(ctx)); string(m.Data) != "hello" || m.GetFrom() != fresh.ID() {
		t.Errorf("got %s of %s", m.Data, m.GetFrom())
	}
}
