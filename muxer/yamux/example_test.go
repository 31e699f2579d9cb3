package yamux_test

import (
	"context"
	"fmt"
	"io"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
)

// A stream between both ends of a connection.
func Example() {
	ctx := context.Background()
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		panic(err)
	}
	a, b := muxertest.Pipe(64 << 10)
	dialer, err := mux.New(a, muxer.Dialer)
	if err != nil {
		panic(err)
	}
	listener, err := mux.New(b, muxer.Listener)
	if err != nil {
		panic(err)
	}
	dialer.Up()
	listener.Up()

	out, err := dialer.Open(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(out, "hello")
	_ = out.CloseWrite()
	in, err := listener.Accept(ctx)
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(in)
	fmt.Printf("%s %v\n", text, err)
	_ = dialer.CloseWith(muxer.CodeRequested, "", 0)
	_ = listener.CloseWith(muxer.CodeRequested, "", 0)
	// Output: hello <nil>
}
