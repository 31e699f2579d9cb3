package host_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// A service that looks up texts by number, at this node and at others.
func ExampleRequests() {
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	type requests = host.Requests[*wrapperspb.UInt64Value, *wrapperspb.StringValue]
	texts := map[uint64]string{7: "seven"}
	lookUp := func(_ context.Context, _ host.Envelope, n *wrapperspb.UInt64Value) (*wrapperspb.StringValue, error) {
		text, ok := texts[n.GetValue()]
		if !ok {
			return nil, &host.RefusalError{Code: host.RefusedLacking}
		}
		return wrapperspb.String(text), nil
	}
	services := map[*host.Host]*requests{}
	a, b := started(ctx, func(h *host.Host) {
		channel := must(h.OpenChannel(muxer.Channel{ID: 0x71, Name: "/texts/1.0.0"}))
		services[h] = host.NewRequests(channel,
			host.RequestsConfig[*wrapperspb.UInt64Value, *wrapperspb.StringValue]{Serve: lookUp})
	})
	defer a.Close()
	defer b.Close()
	for _, s := range services {
		running.Go(func() { _ = s.Run(ctx) })
	}
	for _, number := range []uint64{7, 8} {
		text, err := services[b.Host()].Call(ctx, a.Host().Self(), wrapperspb.UInt64(number), 2*time.Second)
		if refusal, ok := errors.AsType[*host.RefusalError](err); ok && refusal.Code == host.RefusedLacking {
			fmt.Println(number, "is not there: ask another peer")
			continue
		}
		check(err)
		fmt.Println(number, text.GetValue())
	}
	// Output:
	// 7 seven
	// 8 is not there: ask another peer
}
