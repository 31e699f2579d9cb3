package host

import (
	"context"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Envelope is a message from a peer.
type Envelope struct {
	From    transport.NodeID
	Message []byte // the receiver's own
}

// Channel is what a service holds to exchange whole messages with peers. All methods may be called concurrently.
type Channel struct{}

// Send queues msg for a peer and waits while the peer's send queue of this channel is full. The buffer is shared, not copied: do not change it
// afterwards. Errors: ErrNotConnected, ErrNoSuchChannel, muxer.ErrMessageTooLarge, ctx's.
func (c *Channel) Send(ctx context.Context, to transport.NodeID, msg []byte) error {
	panic("unwritten")
}

// TrySend is Send that gives up at once.
func (c *Channel) TrySend(to transport.NodeID, msg []byte) bool { panic("unwritten") }

// Broadcast tries to send msg to every peer that serves the channel, and returns how many took it. A slow peer delays nobody: its copy is dropped and counted.
func (c *Channel) Broadcast(msg []byte) int { panic("unwritten") }

// Receive waits for the next message, fair over peers, in order per peer. Its error is ErrStopped or ctx's.
func (c *Channel) Receive(ctx context.Context) (Envelope, error) { panic("unwritten") }
