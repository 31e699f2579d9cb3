// Command parts runs a go-libp2p host of TCP, Noise and yamux alone, put together without libp2p.New, which links every
// transport: to see what is in its binary.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	basichost "github.com/libp2p/go-libp2p/p2p/host/basic"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/host/peerstore/pstoremem"
	"github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ma "github.com/multiformats/go-multiaddr"
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
	key, public, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		return err
	}
	id, err := peer.IDFromPublicKey(public)
	if err != nil {
		return err
	}
	peers, err := pstoremem.NewPeerstore()
	if err != nil {
		return err
	}
	if err := peers.AddPrivKey(id, key); err != nil {
		return err
	}
	bus := eventbus.NewBus()
	s, err := swarm.NewSwarm(id, peers, bus)
	if err != nil {
		return err
	}
	muxers := []upgrader.StreamMuxer{{ID: yamux.ID, Muxer: yamux.DefaultTransport}}
	secure, err := noise.New(noise.ID, key, muxers)
	if err != nil {
		return err
	}
	limits := &network.NullResourceManager{}
	up, err := upgrader.New([]sec.SecureTransport{secure}, muxers, nil, limits, nil)
	if err != nil {
		return err
	}
	t, err := tcp.NewTCPTransport(up, limits, nil)
	if err != nil {
		return err
	}
	if err := s.AddTransport(t); err != nil {
		return err
	}
	h, err := basichost.NewHost(s, &basichost.HostOpts{EventBus: bus})
	if err != nil {
		return err
	}
	h.Start()
	defer h.Close()
	if err := s.Listen(ma.StringCast("/ip4/127.0.0.1/tcp/0")); err != nil {
		return err
	}
	fmt.Println(h.ID(), h.Addrs())
	<-ctx.Done()
	return nil
}
