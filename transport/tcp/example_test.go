package tcp_test

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// A listener admits one connection and refuses the next.
func Example() {
	ctx := context.Background()
	t := tcp.New(tcp.Config{})
	defer t.Close()
	anywhere, err := transport.ParseListen("/ip4/127.0.0.1/tcp/0")
	if err != nil {
		panic(err)
	}
	full := false
	listener, err := t.Listen(ctx, anywhere, func(transport.Conn) (transport.Ticket, error) {
		if full {
			return nil, errors.New("no room")
		}
		full = true
		return nil, nil
	})
	if err != nil {
		panic(err)
	}
	defer listener.Close()

	first, err := t.Dial(ctx, listener.Addr())
	if err != nil {
		panic(err)
	}
	defer first.Close()
	accepted, _, err := listener.Accept(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(accepted.(transport.ByteConn), "hello")
	accepted.Close()
	text, err := io.ReadAll(first.(transport.ByteConn))
	fmt.Printf("%s %v\n", text, err)
	// Output: hello <nil>
}
