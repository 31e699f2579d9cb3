package quic_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
)

// A QUIC connection arrives secured and muxed: it has the remote's key and streams.
func Example() {
	ctx := context.Background()
	make := func() (*handshake.NodeKey, *quic.Transport) {
		key, err := handshake.GenerateNodeKey()
		if err != nil {
			panic(err)
		}
		t, err := quic.New(quic.Config{}, quic.Env{Identity: key, TLS: tls.New(tls.Config{}), RemoteKey: tls.RemoteKey})
		if err != nil {
			panic(err)
		}
		return key, t
	}
	key, server := make()
	defer server.Close()
	_, client := make()
	defer client.Close()

	anywhere, err := transport.ParseListen("/ip4/127.0.0.1/udp/0/quic-v1")
	if err != nil {
		panic(err)
	}
	listener, err := server.Listen(ctx, anywhere, nil)
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	conn, err := client.Dial(ctx, listener.Addr())
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	secured := conn.(*handshake.SecuredConn)
	fmt.Println(secured.Security, secured.Muxer, secured.RemoteKey == key.Public())
	// Output: tls quic true
}
