package mconn_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// Two sessions over a connection that nothing secures.
func Example() {
	channels := []muxer.Channel{{ID: 0x70}}
	a, b := muxertest.Pipe(64 << 10)
	dialer, err := mconn.New(mconn.Plain(a), muxer.Dialer, channels, mconn.Config{})
	if err != nil {
		panic(err)
	}
	listener, err := mconn.New(mconn.Plain(b), muxer.Listener, channels, mconn.Config{})
	if err != nil {
		panic(err)
	}
	heard := make(chan string, 1)
	var running sync.WaitGroup
	for _, s := range []*mconn.Session{dialer, listener} {
		running.Go(func() {
			_ = s.Run(context.Background(), muxertest.HandlerFunc(func(messages []muxer.Message) error {
				for _, m := range messages {
					heard <- fmt.Sprintf("%#x %s", m.Channel, m.Data)
				}
				return nil
			}))
		})
	}
	fmt.Println(dialer.TrySend(0x70, []byte("hello")))
	fmt.Println(<-heard)
	_ = dialer.Close(muxer.CodeRequested, "enough")
	running.Wait()
	// Output:
	// true
	// 0x70 hello
}
