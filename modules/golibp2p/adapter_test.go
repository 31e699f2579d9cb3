package golibp2p_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	corehost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// tcpOnly makes a host on loopback.
func tcpOnly(t *testing.T) corehost.Host {
	t.Helper()
	return newHost(t, golibp2p.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Transports: []string{"tcp"}})
}

func newHost(t *testing.T, cfg golibp2p.Config) corehost.Host {
	t.Helper()
	h, err := golibp2p.NewHost(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// within returns a context that bounds a test that goes wrong.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func connect(t *testing.T, from, to corehost.Host) {
	t.Helper()
	if err := from.Connect(within(t), peer.AddrInfo{ID: to.ID(), Addrs: to.Addrs()}); err != nil {
		t.Fatal(err)
	}
}

// Two hosts connect, and one serves a stream that the other opens.
func TestEcho(t *testing.T) {
	for _, name := range []string{"tcp", "quic"} {
		t.Run(name, func(t *testing.T) {
			listen := map[string]string{"tcp": "/ip4/127.0.0.1/tcp/0", "quic": "/ip4/127.0.0.1/udp/0/quic-v1"}[name]
			cfg := golibp2p.Config{Listen: []string{listen}, Transports: []string{name}}
			a, b := newHost(t, cfg), newHost(t, cfg)
			b.SetStreamHandler("/echo", func(s network.Stream) {
				defer s.Close()
				_, _ = io.Copy(s, s)
			})
			connect(t, a, b)
			s, err := a.NewStream(within(t), b.ID(), "/none", "/echo")
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if s.Protocol() != "/echo" || s.Conn().RemotePeer() != b.ID() {
				t.Errorf("protocol %s of %s", s.Protocol(), s.Conn().RemotePeer())
			}
			if _, err := s.Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			if err := s.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(s); err != nil || string(got) != "hello" {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// Pubsub delivers a message.
func TestPubsub(t *testing.T) {
	ctx := within(t)
	a, b := tcpOnly(t), tcpOnly(t)
	var topics []*pubsub.Topic
	var subs []*pubsub.Subscription
	for _, h := range []corehost.Host{a, b} {
		ctx, cancel := context.WithCancel(ctx)
		t.Cleanup(cancel)
		ps, err := pubsub.NewGossipSub(ctx, h)
		if err != nil {
			t.Fatal(err)
		}
		topic, err := ps.Join("t")
		if err != nil {
			t.Fatal(err)
		}
		sub, err := topic.Subscribe()
		if err != nil {
			t.Fatal(err)
		}
		topics, subs = append(topics, topic), append(subs, sub)
	}
	connect(t, a, b)
	deliver(ctx, t, topics[0], subs[1], a.ID())
}

// deliver publishes until a message arrives: pubsub drops one for a peer whose subscription it has and to which it has
// no stream yet.
func deliver(ctx context.Context, t *testing.T, from *pubsub.Topic, to *pubsub.Subscription, author peer.ID) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			if err := from.Publish(ctx, []byte("hello")); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	if msg, err := to.Next(ctx); err != nil || string(msg.Data) != "hello" || msg.GetFrom() != author {
		t.Errorf("%v, %v", msg, err)
	}
}
