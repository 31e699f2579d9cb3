package libp2p_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// newWire makes libp2p's wire with one security and one muxer.
func newWire(id handshake.Identity) (*libp2p.Wire, error) {
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return nil, err
	}
	return libp2p.New(libp2p.Config{Identity: id, Securities: []handshake.Security{noise.New()},
		Muxers: []muxer.StreamMuxer{mux}})
}

// Two nodes that speak nothing but this wire.
func Example() {
	ctx := context.Background()
	start := func(listen ...string) *switchyard.Node {
		key := must(handshake.GenerateNodeKey())
		node := must(switchyard.New(ctx, switchyard.Identity(key), switchyard.Listen(listen...),
			switchyard.Transports(tcp.New(tcp.Config{})), switchyard.Wires(must(newWire(key)))))
		go func() { _ = node.Run(ctx) }()
		if err := node.Host().WaitListening(ctx); err != nil {
			panic(err)
		}
		return node
	}
	a := start("/ip4/127.0.0.1/tcp/0")
	defer a.Close()
	b := start()
	defer b.Close()
	peer := must(b.Host().Dial(ctx, a.Addresses()[0]))
	fmt.Println(peer.Wire, peer.Transport, peer.Security, peer.Muxer)
	// Output: libp2p tcp noise yamux
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
