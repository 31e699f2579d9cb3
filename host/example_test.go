package host_test

import (
	"context"
	"fmt"
	"io"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// started runs two nodes, and links them once open has opened their channels and handlers.
func started(ctx context.Context, open func(*host.Host)) (a, b *switchyard.Node) {
	start := func(listen ...string) *switchyard.Node {
		node := must(switchyard.New(ctx, switchyard.Listen(listen...)))
		open(node.Host())
		go func() { _ = node.Run(ctx) }()
		check(node.Host().WaitListening(ctx))
		return node
	}
	a, b = start("/ip4/127.0.0.1/tcp/0"), start()
	must(b.Host().Dial(ctx, must(a.Addresses()[0].WithNode(a.Host().PublicKey().PeerID()))))
	return a, b
}

// A service on a channel: it answers each message.
func ExampleChannel() {
	ctx := context.Background()
	channels := map[*host.Host]*host.Channel{}
	a, b := started(ctx, func(h *host.Host) {
		channels[h] = must(h.OpenChannel(muxer.Channel{ID: 0x70, Name: "/shout/1.0.0", MaxMessage: 1024}))
	})
	defer a.Close()
	defer b.Close()
	go func() {
		for {
			m, err := channels[a.Host()].Receive(ctx)
			if err != nil {
				return // the node stops
			}
			_ = channels[a.Host()].Send(ctx, m.From, append(m.Message, '!'))
		}
	}()
	check(channels[b.Host()].Send(ctx, a.Host().Self(), []byte("hello")))
	fmt.Printf("%s\n", must(channels[b.Host()].Receive(ctx)).Message)
	// Output: hello!
}

// A stream, for a protocol that wants bytes.
func ExampleHost_OpenStream() {
	ctx := context.Background()
	a, b := started(ctx, func(h *host.Host) {
		check(h.HandleStream("/shout/1.0.0", func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
			defer s.Close()
			text, _ := io.ReadAll(io.LimitReader(s, 1024))
			fmt.Fprintf(s, "%s!", text)
		}))
	})
	defer a.Close()
	defer b.Close()
	s := must(b.Host().OpenStream(ctx, a.Host().Self(), "/shout/1.0.0"))
	fmt.Fprint(s, "hello")
	check(s.CloseWrite())
	fmt.Printf("%s\n", must(io.ReadAll(s)))
	// Output: hello!
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
