package host

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/transport"
)

// message is the constraint of Typed: PT is *T and a protobuf message.
type message[T any] interface {
	*T
	proto.Message
}

// Typed is a Channel whose messages are protobuf messages of one type. A message that does not decode is reported
// against its sender (Penalise) and skipped.
type Typed[T any, PT message[T]] struct{ *Channel }

// NewTyped wraps a channel.
func NewTyped[T any, PT message[T]](c *Channel) Typed[T, PT] { return Typed[T, PT]{c} }

// Send encodes and sends, see Channel.Send.
func (t Typed[T, PT]) Send(ctx context.Context, to transport.NodeID, m PT) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode %T: %w", m, err)
	}
	return t.Channel.Send(ctx, to, b)
}

// TrySend encodes and tries to send, see Channel.TrySend.
func (t Typed[T, PT]) TrySend(to transport.NodeID, m PT) bool {
	b, err := proto.Marshal(m)
	return err == nil && t.Channel.TrySend(to, b)
}

// Broadcast encodes once and tries to send to every peer, see Channel.Broadcast.
func (t Typed[T, PT]) Broadcast(m PT) int {
	b, err := proto.Marshal(m)
	if err != nil {
		return 0
	}
	return t.Channel.Broadcast(b)
}

// Receive waits for the next message that decodes.
func (t Typed[T, PT]) Receive(ctx context.Context) (transport.NodeID, PT, error) {
	for {
		e, err := t.Channel.Receive(ctx)
		if err != nil {
			return "", nil, err
		}
		m := PT(new(T))
		if err := proto.Unmarshal(e.Message, m); err != nil {
			reason := fmt.Sprintf("message of channel %s does not decode: %v", t.desc.Name, err)
			t.host.Report(e.From, Behaviour{Points: -10, Severity: Penalise, Reason: reason})
			continue
		}
		e.Release() // what was decoded is a copy
		return e.From, m, nil
	}
}
