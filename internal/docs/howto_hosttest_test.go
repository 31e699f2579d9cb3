package docs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// shouting is the channel of the service under test.
var shouting = muxer.Channel{ID: 0x70, Name: "/shout/1.0.0", MaxMessage: 1024}

// shout answers each message, until ctx ends. That is the service.
func shout(ctx context.Context, c *host.Channel) error {
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return nil
		}
		if err := c.Send(ctx, m.From, append(m.Message, '!')); err != nil && ctx.Err() == nil {
			continue // that peer is gone
		}
	}
}

// The service answers, also after the network was cut for ten minutes. The clock is virtual.
func TestShout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Nodes: 2, KnowFirst: true, Channels: []muxer.Channel{shouting}})
		server, client := net.Nodes[0], net.Nodes[1]
		done := make(chan error)
		ctx, stop := context.WithCancel(t.Context())
		go func() { done <- shout(ctx, server.Channel(shouting.ID)) }()
		client.Collect(shouting.ID)

		ask := func(text string) {
			t.Helper()
			if err := client.Channel(shouting.ID).Send(ctx, server.ID, []byte(text)); err != nil {
				t.Fatal(err)
			}
			all := net.AwaitMessages(client, shouting.ID, server, 1)
			if got := string(all[len(all)-1]); got != text+"!" {
				t.Errorf("got %q", got)
			}
		}
		net.AwaitLink(server, client)
		ask("hello")

		net.Cut(memory.Stall, []*hosttest.Node{client})
		time.Sleep(10 * time.Minute)
		net.AssertNoPeer(server, client, time.Second)
		net.Heal()
		net.AwaitLink(server, client)
		net.AssertTruth()

		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
