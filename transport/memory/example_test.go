package memory_test

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// Two machines, 10 ms apart.
func Example() {
	ctx := context.Background()
	network := memory.NewNetwork(memory.Config{Conditions: memory.Conditions{Latency: 10 * time.Millisecond}})
	a, b := network.NewTransport(memory.HostConfig{}), network.NewTransport(memory.HostConfig{})

	anywhere, err := transport.ParseListen("/memory/0")
	if err != nil {
		panic(err)
	}
	listener, err := a.Listen(ctx, anywhere, nil)
	if err != nil {
		panic(err)
	}
	defer listener.Close()

	start := time.Now()
	dialed, err := b.Dial(ctx, listener.Addr())
	if err != nil {
		panic(err)
	}
	defer dialed.Close()
	fmt.Println("a dial takes a round trip:", time.Since(start) >= 20*time.Millisecond)

	accepted, _, err := listener.Accept(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(accepted.(transport.ByteConn), "hello")
	accepted.Close()
	text, err := io.ReadAll(dialed.(transport.ByteConn))
	fmt.Printf("%s %v\n", text, err)
	// Output:
	// a dial takes a round trip: true
	// hello <nil>
}
