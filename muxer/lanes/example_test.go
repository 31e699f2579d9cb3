package lanes_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
)

// Two sessions over yamux. The remote learns why the link ends.
func Example() {
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		panic(err)
	}
	a, b := muxertest.Pipe(64 << 10)
	left, err := mux.New(a, muxer.Dialer)
	if err != nil {
		panic(err)
	}
	right, err := mux.New(b, muxer.Listener)
	if err != nil {
		panic(err)
	}
	channels := []muxer.Channel{{ID: 0x70, Name: "/hello/1.0.0"}}
	dialer, listener := lanes.New(left, lanes.Config{}), lanes.New(right, lanes.Config{})
	for _, s := range []*lanes.Session{dialer, listener} {
		if err := s.SetChannels(channels); err != nil {
			panic(err)
		}
	}
	heard := make(chan string, 1)
	var running sync.WaitGroup
	var ended error
	hear := muxertest.HandlerFunc(func(messages []muxer.Message) error {
		for _, m := range messages {
			heard <- string(m.Data)
		}
		return nil
	})
	running.Go(func() { _ = dialer.Run(context.Background(), hear) })
	running.Go(func() { ended = listener.Run(context.Background(), hear) })
	if err := dialer.Send(context.Background(), 0x70, []byte("hello")); err != nil {
		panic(err)
	}
	fmt.Println(<-heard)
	_ = dialer.Close(muxer.CodeRequested, "enough")
	running.Wait()
	if e, ok := errors.AsType[*muxer.CloseError](ended); ok {
		fmt.Println(e.Code, e.Remote)
	}
	// Output:
	// hello
	// requested true
}
