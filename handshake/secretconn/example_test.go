package secretconn_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
)

// Both ends secure a connection as CometBFT does. The binding names it to both.
func Example() {
	ctx := context.Background()
	a, b := handshaketest.Pipe("/ip4/10.0.0.1/tcp/50000", "/ip4/10.0.0.2/tcp/26656")
	client := handshake.NewIdentity([handshake.SeedSize]byte{1})
	server := handshake.NewIdentity([handshake.SeedSize]byte{2})
	secure := func(conn *handshaketest.Conn, id handshake.Identity, to **secretconn.Conn) {
		c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{})
		if err != nil {
			panic(err)
		}
		*to = c
	}
	var left, right *secretconn.Conn
	var both sync.WaitGroup
	both.Go(func() { secure(a, client, &left) })
	both.Go(func() { secure(b, server, &right) })
	both.Wait()
	fmt.Println("the same connection:", left.Binding == right.Binding)
	fmt.Println("the dialer's key:", right.RemotePublicKey() == client.Public())
	_ = left.Close()
	_ = right.Close()
	// Output:
	// the same connection: true
	// the dialer's key: true
}
