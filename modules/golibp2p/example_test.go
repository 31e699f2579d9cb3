package golibp2p_test

import (
	"context"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// A program that called libp2p.New calls NewHost. The rest of it stays as it is.
func ExampleNewHost() {
	ctx := context.Background()
	local := golibp2p.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}}
	server, err := golibp2p.NewHost(ctx, local)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	server.SetStreamHandler("/hello", func(s network.Stream) {
		defer s.Close()
		_, _ = io.WriteString(s, "hello")
	})
	client, err := golibp2p.NewHost(ctx, local)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	if err := client.Connect(ctx, peer.AddrInfo{ID: server.ID(), Addrs: server.Addrs()}); err != nil {
		fmt.Println(err)
		return
	}
	s, err := client.NewStream(ctx, server.ID(), "/hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	text, err := io.ReadAll(s)
	fmt.Println(string(text), err)
	// Output: hello <nil>
}
