package relay_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/relay"
)

// Items of all sizes go down a line of three nodes over real sockets, over each wire and transport, and so do those
// that were published before the last node came.
func TestEveryWire(t *testing.T) {
	for _, w := range []struct{ name, wire, listen, transport string }{
		{"comet over TCP", "comet", "/ip4/127.0.0.1/tcp/0", "tcp"},
		{"libp2p over TCP", "libp2p", "/ip4/127.0.0.1/tcp/0", "tcp"},
		{"libp2p over QUIC", "libp2p", "/ip4/127.0.0.1/udp/0/quic-v1", "quic"},
	} {
		t.Run(w.name, func(t *testing.T) {
			ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
			defer stop()
			var running sync.WaitGroup
			defer running.Wait()
			defer stop()
			start := func() (*switchyard.Node, *relay.Relay) {
				node := must(switchyard.New(ctx, switchyard.Network("relay"), switchyard.Listen(w.listen),
					switchyard.Tune(func(cfg *host.Config) {
						cfg.Wires = slices.DeleteFunc(cfg.Wires,
							func(o handshake.Wire) bool { return o.Name() != w.wire })
					})))
				r := must(relay.New(relay.Config{}, node.Host(), nil))
				running.Go(func() { _ = r.Run(ctx) })
				running.Go(func() { _ = node.Run(ctx) })
				if err := node.Host().WaitListening(ctx); err != nil {
					t.Fatal(err)
				}
				return node, r
			}
			link := func(from, to *switchyard.Node) {
				info, err := from.Host().Dial(ctx, to.Addresses()[0])
				if err != nil {
					t.Fatal(err)
				}
				if info.Wire != w.wire || info.Transport != w.transport {
					t.Errorf("the link is %s over %s", info.Wire, info.Transport)
				}
			}
			sizes := []int{1, 1 << 10, 4 << 10, 4<<10 + 1, 64 << 10, 1 << 20}
			publish := func(r *relay.Relay, round byte) {
				for _, size := range sizes {
					if _, err := r.Publish(ctx, append(bytes.Repeat([]byte{round}, size-1), round)); err != nil {
						t.Fatal(err)
					}
				}
			}
			get := func(sub *relay.Subscription, round byte) {
				want := slices.Clone(sizes)
				for len(want) > 0 {
					d, err := sub.Next(ctx)
					if err != nil {
						t.Fatalf("%v, without the items of %v bytes", err, want)
					}
					i := slices.Index(want, len(d.Item))
					if i < 0 || d.Missed > 0 || bytes.Count(d.Item, []byte{round}) != len(d.Item) {
						t.Fatalf("an item of %d bytes, %d missed", len(d.Item), d.Missed)
					}
					want = slices.Delete(want, i, i+1)
				}
			}

			a, publisher := start()
			b, _ := start()
			link(b, a)
			publish(publisher, 'x')
			c, reader := start()
			sub := reader.Subscribe(0)
			defer sub.Close()
			link(c, b)
			get(sub, 'x')
			publish(publisher, 'y')
			get(sub, 'y')
			back := publisher.Subscribe(0)
			defer back.Close()
			publish(reader, 'z') // against the direction of the dials
			get(back, 'z')
		})
	}
}
