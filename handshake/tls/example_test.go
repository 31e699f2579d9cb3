package tls_test

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Both ends secure a connection, and each learns the key of the other.
func Example() {
	ctx := context.Background()
	server := handshake.NewIdentity([handshake.SeedSize]byte{1})
	client := handshake.NewIdentity([handshake.SeedSize]byte{2})
	a, b := handshaketest.Pipe("/ip4/10.0.0.1/tcp/50000", "/ip4/10.0.0.2/tcp/26656")
	security := tls.New(tls.Config{})

	var accepting sync.WaitGroup
	accepting.Go(func() {
		conn, err := security.Secure(ctx, b, handshake.Securing{Side: muxer.Listener, Identity: server,
			CheckKey: func(remote handshake.PublicKey) error {
				fmt.Println("it is the client:", remote == client.Public())
				return nil
			}})
		if err != nil {
			panic(err)
		}
		fmt.Fprint(conn, "hello")
		_ = conn.Close()
	})
	conn, err := security.Secure(ctx, a, handshake.Securing{Side: muxer.Dialer, Identity: client, Want: server.ID()})
	if err != nil {
		panic(err)
	}
	text := make([]byte, 5)
	if _, err := io.ReadFull(conn, text); err != nil {
		panic(err)
	}
	accepting.Wait()
	_ = conn.Close()
	fmt.Printf("%s\n", text)
	// Output:
	// it is the client: true
	// hello
}
