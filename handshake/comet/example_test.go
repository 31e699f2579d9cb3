package comet_test

import (
	"context"
	"fmt"
	"net"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// newWire makes CometBFT's wire of its parts: SecretConnection and MConnection.
func newWire(id handshake.Identity) (*comet.Wire, error) {
	return comet.New(comet.Config{
		Identity: id,
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
			check func(handshake.PublicKey) error) (comet.Secured, error) {
			c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
			if err != nil {
				return comet.Secured{}, err
			}
			return comet.Secured{Reader: c, Binding: c.Binding,
				Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
					return mconn.New(c, side, channels, mconn.Config{})
				}}, nil
		},
	})
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
	// Output: comet tcp secretconn mconn
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
