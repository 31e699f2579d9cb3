package hosts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestGuests links as many plain libp2p peers as the configuration admits. The next one must be refused with the limit
// named; when one goes, there must be room again.
func TestGuests(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		const places = 3
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		ours := node.Start(t, node.Config{Tune: func(c *host.Config) { c.Peers.Guests = places }})
		events := ours.Host.Events(ctx)
		var guests []p2phost.Host
		for range places {
			g := gopeer.Start(t, s)
			if err := g.Connect(ctx, ours.Info(s.Transport)); err != nil {
				t.Fatal(err)
			}
			guests = append(guests, g)
		}
		node.Await(t, "all guests are linked", func() bool { return len(ours.Host.Peers()) == places })

		excess := gopeer.Start(t, s)
		_ = excess.Connect(ctx, ours.Info(s.Transport)) // it may believe for a moment that it is connected
		refusal := awaitRefusal(t, ctx, events)
		if refusal.ID != addressOf(t, excess).ID() || refusal.Reason.Code != muxer.CodeTooManyPeers ||
			refusal.Reason.Limit != "peers.guests" || refusal.Reason.Remote {
			t.Errorf("the excess was refused with %+v", refusal)
		}
		node.Await(t, "the excess has no connection", func() bool {
			return len(excess.Network().ConnsToPeer(ours.PeerID())) == 0
		})
		if n := len(ours.Host.Peers()); n != places {
			t.Errorf("%d guests are linked, want %d", n, places)
		}

		if err := guests[0].Network().ClosePeer(ours.PeerID()); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "a guest has gone", func() bool { return len(ours.Host.Peers()) == places-1 })
		if err := excess.Connect(ctx, ours.Info(s.Transport)); err != nil {
			t.Fatalf("there is room, but: %v", err)
		}
		node.Await(t, "the next guest is linked", func() bool {
			_, ok := ours.Host.Peer(addressOf(t, excess).ID())
			return ok
		})
		st, err := excess.NewStream(ctx, ours.PeerID(), node.Echo)
		if err != nil {
			t.Fatal(err)
		}
		if err := echo(st, 1000); err != nil {
			t.Error(err)
		}
	})
}

// TestSilentGuests links nodes that answer identify with a reset: they say nothing of themselves, and are guests, with
// a guest's place each and nothing more. go-libp2p's node that dials back for AutoNAT is such a one.
func TestSilentGuests(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		ours := node.Start(t, node.Config{Tune: func(c *host.Config) { c.Peers.Guests = 1 }})
		events := ours.Host.Events(ctx)
		silent := func() p2phost.Host {
			g := gopeer.Start(t, s)
			g.SetStreamHandler("/ipfs/id/1.0.0", func(st network.Stream) { _ = st.Reset() })
			return g
		}
		first, second := silent(), silent()
		if err := first.Connect(ctx, ours.Info(s.Transport)); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "the silent guest is linked", func() bool { return len(ours.Host.Peers()) == 1 })
		info := ours.Host.Peers()[0]
		if !info.Guest || info.Network != "" || info.Moniker != "" || len(info.Protocols)+len(info.Channels)+
			len(info.Listen) > 0 || info.ID != addressOf(t, first).ID() {
			t.Errorf("the silent guest is %+v", info)
		}
		_ = second.Connect(ctx, ours.Info(s.Transport))
		if refusal := awaitRefusal(t, ctx, events); refusal.Reason.Limit != "peers.guests" {
			t.Errorf("the second one was refused with %+v", refusal)
		}
	})
}

// TestNoGuests checks that a node without guest slots refuses every plain libp2p peer that dials it.
func TestNoGuests(t *testing.T) {
	p := newPair(t, gopeer.Stacks[0], node.Config{Tune: func(c *host.Config) { c.Peers.Guests = -1 }})
	events := p.ours.Host.Events(p.ctx)
	_ = p.theirs.Connect(p.ctx, p.ours.Info(p.stack.Transport))
	if refusal := awaitRefusal(t, p.ctx, events); refusal.Reason.Limit != "peers.guests" {
		t.Errorf("refused with %+v", refusal)
	}
	p.apart(t)
}

// TestTheseGuestsOnly checks that a list of guests refuses others, whichever end dials, and names its key.
func TestTheseGuestsOnly(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		listed, dialed, other := gopeer.Start(t, s), gopeer.Start(t, s), gopeer.Start(t, s)
		ours := node.Start(t, node.Config{Tune: func(c *host.Config) {
			c.AllowGuests = []transport.NodeID{addressOf(t, listed).ID(), addressOf(t, dialed).ID()}
		}})
		events := ours.Host.Events(ctx)
		if err := listed.Connect(ctx, ours.Info(s.Transport)); err != nil {
			t.Fatal(err)
		}
		if _, err := ours.Host.Dial(ctx, addressOf(t, dialed)); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "both guests are linked", func() bool { return len(ours.Host.Peers()) == 2 })
		_ = other.Connect(ctx, ours.Info(s.Transport))
		refusal := awaitRefusal(t, ctx, events)
		if refusal.Reason.Code != muxer.CodeFiltered ||
			refusal.Reason.Limit != "peers.allow_guests" || refusal.Reason.Remote {
			t.Errorf("refused with %+v", refusal)
		}
		_, err := ours.Host.Dial(ctx, addressOf(t, other))
		var why *handshake.Refusal
		if !errors.As(err, &why) || why.Limit != "peers.allow_guests" {
			t.Errorf("dialed: %v", err)
		}
		if n := len(ours.Host.Peers()); n != 2 {
			t.Errorf("%d guests are linked", n)
		}
	})
}

// TestStorm connects guests and ourselves from both ends at once. A stream that a guest opens on whichever connection
// it likes best must go on, and nobody may stay unconnected.
func TestStorm(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		const guests = 16
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		ours := node.Start(t, node.Config{Tune: func(c *host.Config) {
			c.Peers.Guests, c.Handshake.Limits.AttemptsPerIP, c.Peers.ConnectionsPerIP = 2*guests, 10*guests, 10*guests
		}})
		var storm errgroup.Group
		for range guests {
			g := gopeer.Start(t, s)
			storm.Go(func() error { _, _ = ours.Host.Dial(ctx, addressOf(t, g)); return nil })
			storm.Go(func() error {
				if err := g.Connect(ctx, ours.Info(s.Transport)); err != nil {
					return err
				}
				st, err := g.NewStream(ctx, ours.PeerID(), node.Echo)
				if err != nil {
					return err
				}
				for i := range 30 { // the subscription
					if _, err := fmt.Fprintf(st, "news %02d", i); err != nil {
						return fmt.Errorf("news %d: %w", i, err)
					}
					if _, err := io.ReadFull(st, make([]byte, 7)); err != nil {
						return fmt.Errorf("news %d: %w", i, err)
					}
					time.Sleep(50 * time.Millisecond)
				}
				return nil
			})
		}
		if err := storm.Wait(); err != nil {
			t.Error(err)
		}
	})
}

// TestQuickRedial lets a guest hang up and come back at once, again and again.
func TestQuickRedial(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		ours := node.Start(t, node.Config{Tune: func(c *host.Config) { c.Handshake.Limits.AttemptsPerIP = 1000 }})
		g := gopeer.Start(t, s)
		for i := range 60 {
			if err := g.Connect(ctx, ours.Info(s.Transport)); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			if err := echoOf(ctx, g, ours.PeerID()); err != nil {
				t.Fatalf("connection %d: %v", i, err)
			}
			if err := g.Network().ClosePeer(ours.PeerID()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func awaitRefusal(t *testing.T, ctx context.Context, events <-chan host.Event) host.Event {
	t.Helper()
	timeout := time.NewTimer(10 * time.Second)
	defer timeout.Stop()
	for {
		select {
		case e := <-events:
			if e.Kind == host.EventRefused {
				return e
			}
		case <-timeout.C:
			t.Fatal("no peer was refused")
		case <-ctx.Done():
			t.Fatal(ctx.Err())
		}
	}
}

// TestAttempts checks that an IP may begin only so many connections in a while over each transport. The next one must
// be refused before any cryptography, with the limit named, and the links must stay.
func TestAttempts(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		const attempts = 4
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		defer cancel()
		ours := node.Start(t, node.Config{Tune: func(c *host.Config) { c.Handshake.Limits.AttemptsPerIP = attempts }})
		events := ours.Host.Events(ctx)
		for range attempts {
			if err := gopeer.Start(t, s).Connect(ctx, ours.Info(s.Transport)); err != nil {
				t.Fatal(err)
			}
		}
		node.Await(t, "all are linked", func() bool { return len(ours.Host.Peers()) == attempts })
		if err := gopeer.Start(t, s).Connect(ctx, ours.Info(s.Transport)); err == nil {
			t.Error("one more is connected")
		}
		if refusal := awaitRefusal(t, ctx, events); refusal.Reason.Limit != "limits.attempts_per_ip" ||
			refusal.Reason.Code != muxer.CodeTooManyStarts || refusal.ID != "" {
			t.Errorf("refused with %+v", refusal)
		}
		if n := len(ours.Host.Peers()); n != attempts {
			t.Errorf("%d are linked, want %d", n, attempts)
		}
	})
}
