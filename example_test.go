package switchyard_test

import (
	"context"
	"fmt"

	"github.com/switchyard-p2p/switchyard"
)

// Two nodes, and a message from one to the other.
func Example() {
	ctx := context.Background()
	hello := switchyard.Channel{ID: 0x70, Name: "/hello/1.0.0"}

	a := must(switchyard.New(ctx, switchyard.Listen("/ip4/127.0.0.1/tcp/0")))
	defer a.Close()
	inbox := must(a.Host().OpenChannel(hello))
	go a.Run(ctx)
	check(a.Host().WaitListening(ctx))

	b := must(switchyard.New(ctx, switchyard.Listen())) // it only dials
	defer b.Close()
	outbox := must(b.Host().OpenChannel(hello))
	go b.Run(ctx)
	check(b.Host().WaitListening(ctx))
	peer := must(b.Host().Dial(ctx, a.Addresses()[0]))
	outbox.TrySend(peer.ID, []byte("hello"))

	fmt.Printf("%s\n", must(inbox.Receive(ctx)).Message)
	// Output: hello
}

func must[T any](value T, err error) T {
	check(err)
	return value
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
