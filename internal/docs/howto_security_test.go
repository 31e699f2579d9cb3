package docs

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// claimed secures nothing: each end claims a key, and nobody proves one. It is for tests, and to show the contract.
type claimed struct{}

func (claimed) Name() string     { return "claimed" }
func (claimed) Protocol() string { return "/claimed/1.0.0" }

// Keep has nothing to sign ahead.
func (claimed) Keep(context.Context, handshake.Identity) {}

// Secure implements handshake.Security. The caller has set the deadline of conn.
func (claimed) Secure(ctx context.Context, conn net.Conn, s handshake.Securing) (handshake.SecureConn, error) {
	own, err := s.Identity.PublicKey(ctx)
	if err != nil {
		return nil, &handshake.IdentityError{Err: err} // the remote is not to blame
	}
	if _, err := conn.Write(own.Raw()); err != nil {
		return nil, err
	}
	claim := make([]byte, handshake.Ed25519KeySize)
	if _, err := io.ReadFull(conn, claim); err != nil {
		return nil, err
	}
	remote, err := handshake.NewEd25519Key(claim)
	if err != nil {
		return nil, err
	}
	if err := s.CheckKey(remote); err != nil { // Want, bans, gates
		return nil, err
	}
	return claimedConn{conn}, nil
}

type claimedConn struct{ net.Conn }

// Muxer returns "": the muxer is still to be negotiated.
func (claimedConn) Muxer() string { return "" }

// Two libp2p nodes link with it.
func Example_security() {
	ctx := context.Background()
	start := func(listen ...string) *switchyard.Node {
		key := must(handshake.GenerateNodeKey())
		wire := must(libp2p.New(libp2p.Config{Identity: key, Securities: []handshake.Security{claimed{}},
			Muxers: []muxer.StreamMuxer{must(yamux.New(yamux.Config{}))}}))
		node := must(switchyard.New(ctx, switchyard.Identity(key), switchyard.Listen(listen...),
			switchyard.Transports(tcp.New(tcp.Config{})), switchyard.Wires(wire)))
		go func() { _ = node.Run(ctx) }()
		check(node.Host().WaitListening(ctx))
		return node
	}
	a, b := start("/ip4/127.0.0.1/tcp/0"), start()
	defer a.Close()
	defer b.Close()
	peer := must(b.Host().Dial(ctx, a.Addresses()[0]))
	fmt.Println(peer.Security, peer.ID == a.Host().Self())
	// Output: claimed true
}
