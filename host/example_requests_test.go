package host_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A service that looks up texts by number, at this node and at others.
func ExampleRequests() {
	type requests = host.Requests[*wrapperspb.UInt64Value, *wrapperspb.StringValue]
	open := func(h *host.Host, texts map[uint64]string) (*requests, error) {
		channel, err := h.OpenChannel(muxer.Channel{ID: 0x71, Name: "/texts/1.0.0"})
		if err != nil {
			return nil, err
		}
		serve := func(_ context.Context, e host.Envelope, n *wrapperspb.UInt64Value) (*wrapperspb.StringValue, error) {
			text, ok := texts[n.GetValue()]
			if !ok {
				return nil, &host.RefusalError{Code: host.RefusedLacking}
			}
			return wrapperspb.String(text), nil
		}
		return host.NewRequests(channel,
			host.RequestsConfig[*wrapperspb.UInt64Value, *wrapperspb.StringValue]{Serve: serve}), nil
	}
	ask := func(ctx context.Context, r *requests, peer transport.NodeID) error { // while r.Run runs
		text, err := r.Call(ctx, peer, wrapperspb.UInt64(7), 2*time.Second)
		if refusal, ok := errors.AsType[*host.RefusalError](err); ok && refusal.Code == host.RefusedLacking {
			return nil // ask another peer
		}
		if err != nil {
			return err
		}
		fmt.Println(text.GetValue())
		return nil
	}
	_, _ = open, ask
}
