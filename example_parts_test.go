package switchyard_test

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// newHost makes a node of TCP, Noise and yamux alone. Its binary has no QUIC, no database and no framework in it.
func newHost(ctx context.Context, listen ...string) (*host.Host, error) {
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		return nil, err
	}
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return nil, err
	}
	wire, err := libp2p.New(libp2p.Config{
		Identity:   key,
		Securities: []handshake.Security{noise.New()},
		Muxers:     []muxer.StreamMuxer{mux},
	})
	if err != nil {
		return nil, err
	}
	cfg := host.Config{
		Network: "example", Identity: key, Store: memory.New(peerstore.Limits{}),
		Transports: []transport.Transport{tcp.New(tcp.Config{})}, Wires: []handshake.Wire{wire},
	}
	for _, text := range listen {
		a, err := transport.ParseListen(text)
		if err != nil {
			return nil, err
		}
		cfg.Listen = append(cfg.Listen, a)
	}
	return host.New(ctx, cfg)
}

// A host from its parts: what New does, for a program that wants only some of them. One opens a stream to the other.
func Example_parts() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	a := must(newHost(ctx, "/ip4/127.0.0.1/tcp/0"))
	err := a.HandleStream("/shout/1.0.0", func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
		defer s.Close()
		text, _ := io.ReadAll(s)
		fmt.Fprintf(s, "%s!", text)
	})
	if err != nil {
		panic(err)
	}
	running.Go(func() { _ = a.Run(ctx) })
	check(a.WaitListening(ctx))

	b := must(newHost(ctx))
	running.Go(func() { _ = b.Run(ctx) })
	check(b.WaitListening(ctx))
	peer := must(b.Dial(ctx, a.SelfAddresses()[0]))
	s := must(b.OpenStream(ctx, peer.ID, "/shout/1.0.0"))
	fmt.Fprint(s, "hello")
	_ = s.CloseWrite()
	fmt.Printf("%s\n", must(io.ReadAll(s)))
	// Output: hello!
}
