package hosts

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"github.com/libp2p/go-libp2p"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/internal/stock"
)

// startAutoNAT gives a host go-libp2p's AutoNAT v2, which dials private addresses, too.
func startAutoNAT(t *testing.T, s gopeer.Stack, h p2phost.Host) *autonatv2.AutoNAT {
	t.Helper()
	dialer := gopeer.Start(t, s, libp2p.NoListenAddrs)
	a, err := autonatv2.New(dialer, autonatv2.AllowPrivateAddrs)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	return a
}

// TestAutoNAT lets go-libp2p dial us back, and dials it back.
func TestAutoNAT(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		ours := node.Start(t, node.Config{})
		log := slog.New(slog.DiscardHandler)
		service, err := autonat.New(autonat.Config{Serve: true, Loopback: true}, ours.Host,
			stock.Prober("test", log), log)
		if err != nil {
			t.Fatal(err)
		}
		theirs := gopeer.Start(t, s)
		nat := startAutoNAT(t, s, theirs)
		if _, err := ours.Host.Dial(ctx, addressOf(t, theirs)); err != nil {
			t.Fatal(err)
		}
		report, err := service.Ask(ctx)
		if err != nil || len(report.Peers) != 1 {
			t.Fatalf("%+v, %v", report, err)
		}
		want := ours.Listen(s.Transport).String()
		for _, a := range report.Addresses {
			if a.Address == want && (a.Verdict != autonat.Reachable || !a.Proven) {
				t.Errorf("they say of ours: %+v", a)
			}
			if a.Address != want && a.Verdict != autonat.Unknown { // their dialer has one transport
				t.Errorf("they say of the other one of ours: %+v", a)
			}
		}

		var got autonatv2.Result
		address := theirs.Addrs()[0]
		node.Await(t, "go-libp2p asks us", func() bool {
			got, err = nat.GetReachability(ctx, []autonatv2.Request{{Addr: address}})
			return !errors.Is(err, autonatv2.ErrNoPeers)
		})
		if err != nil || got.Reachability != network.ReachabilityPublic {
			t.Errorf("we say of theirs: %+v, %v", got, err)
		}
		closed := ma.StringCast("/ip4/127.0.0.1/tcp/1")
		if s.Transport == "quic" {
			return // a dead UDP port shows only by the end of the time
		}
		h := gopeer.Start(t, s)
		other := startAutoNAT(t, s, h) // each of theirs asks a peer once in two minutes
		if err := h.Connect(ctx, ours.Info(s.Transport)); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "go-libp2p asks us about a closed port", func() bool {
			got, err = other.GetReachability(ctx, []autonatv2.Request{{Addr: closed}})
			return !errors.Is(err, autonatv2.ErrNoPeers)
		})
		if err != nil || got.Reachability != network.ReachabilityPrivate {
			t.Errorf("we say of a closed port: %+v, %v", got, err)
		}
	})
}
