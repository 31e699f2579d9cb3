// Command parts runs a node of TCP, Noise and yamux alone, to show what is in its binary.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	ma "github.com/multiformats/go-multiaddr"

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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		return err
	}
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		return err
	}
	wire, err := libp2p.New(libp2p.Config{
		Identity: key, Securities: []handshake.Security{noise.New()}, Muxers: []muxer.StreamMuxer{mux},
	})
	if err != nil {
		return err
	}
	listen, err := transport.ParseListen("/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	h, err := host.New(ctx, host.Config{
		Network: "parts", Identity: key, Store: memory.New(peerstore.Limits{}),
		Transports: []transport.Transport{tcp.New(tcp.Config{})}, Wires: []handshake.Wire{wire},
		Listen: []ma.Multiaddr{listen},
	})
	if err != nil {
		return err
	}
	return h.Run(ctx)
}
