package cometbft

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cosmos/gogoproto/proto"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// channel is a reactor's channel over one of the host. A reactor that is slow with a message holds up its own channels
// alone, of all peers.
type channel struct {
	*host.Channel
	yard    *yard
	reactor p2p.Reactor
	desc    p2p.ChannelDescriptor
}

// What a message counts in a send queue whose capacity CometBFT gives in messages, and the bounds of the product. A
// queue that is empty takes a message of any size.
const (
	queuedMessage = 64 << 10 // bytes: a block part (CometBFT types/params.go)
	mostQueued    = 8 << 20
)

// Channels that are handled in a way of their own (CometBFT mempool/mempool.go, blocksync/reactor.go and
// statesync/reactor.go).
const (
	mempoolChannel = 0x30
	blocksChannel  = 0x40
	chunksChannel  = 0x61
)

// isAnswer reports whether a message is a block or a chunk that a peer has asked for. Their queues hold less than what
// a peer asks for at once, and reactors give an answer up for which there is no room: the peer would wait 15 s for it
// and then leave. So such a message waits. That holds up the handler of the peer's next request, which is right.
func isAnswer(channel byte, size int) bool {
	return size > queuedMessage && (channel == blocksChannel || channel == chunksChannel)
}

// open opens the channels of all reactors, and asks the host for peers.
func (y *yard) open(h *host.Host) error {
	for name, r := range y.sw.Reactors() {
		for _, d := range r.GetChannels() {
			desc := d.FillDefaults()
			c := &channel{yard: y, reactor: r, desc: desc}
			var err error
			if c.Channel, err = h.OpenChannel(describe(&desc)); err != nil {
				return fmt.Errorf("reactor %s: %w", name, err)
			}
			y.channels[desc.ID] = c
		}
	}
	return h.OnPeer(y.introduce)
}

// describe returns a host's channel for a reactor's. Guests have it, too: CometBFT nodes in libp2p mode are guests.
// Which guests there are is a matter of peers.guests and peers.allow_guests.
func describe(d *p2p.ChannelDescriptor) muxer.Channel {
	c := muxer.Channel{ID: d.ID, Priority: min(max(d.Priority, 1), 1000), MaxMessage: d.RecvMessageCapacity,
		SendQueue: min(d.SendQueueCapacity*queuedMessage, mostQueued), Guests: true}
	if d.ID == mempoolChannel {
		// Over MConn nothing else of the peer is read while an inbox is full. A transaction may get lost in gossip,
		// a vote is not to wait for one.
		c.ReceiveQueue, c.Overflow = 4<<20, muxer.Drop
	}
	return c
}

// Handlers of a channel at once, each for another peer. A peer's messages stay in order, as with CometBFT, which calls
// Receive concurrently for all peers. Transactions are checked one at a time: an application in the same process has
// one lock, and a block would wait behind all checks that wait for it.
// Those of blocks and chunks wait until the peer has read what it asked for.
const (
	handlers        = 8
	answerHandlers  = 64
	mempoolHandlers = 1
)

// serve hands the messages of the channel to the reactor until ctx or the host ends.
func (c *channel) serve(ctx context.Context) {
	n := handlers
	switch c.desc.ID {
	case mempoolChannel:
		n = mempoolHandlers
	case blocksChannel, chunksChannel:
		n = answerHandlers
	}
	_ = c.ServeParallel(ctx, n, func(_ context.Context, e host.Envelope) error { // only ctx's end, or the host's
		if p := c.yard.peers.get(e.Peering); p != nil && p.IsRunning() {
			c.receive(p, e.Message)
		}
		return nil
	})
}

// bytesFilter is a reactor that looks at messages before they are decoded (CometBFT p2p/base_reactor.go).
type bytesFilter interface {
	FilterMsgBytes(channel byte, from p2p.Peer, msg []byte) error
}

// unwrapper is a message that holds another one (CometBFT p2p/types.go, in 1.0 types/).
type unwrapper interface {
	proto.Message
	Unwrap() (proto.Message, error)
}

// receive decodes a message and hands it to the reactor. The peer stops for one that does not decode, and for a reactor
// that panics, as with CometBFT's own connections.
func (c *channel) receive(p *peer, b []byte) {
	defer func() {
		if r := recover(); r != nil {
			p.Logger.Error("A reactor panicked", "err", r, "channel", c.desc.ID, "stack", string(debug.Stack()))
			c.yard.sw.StopPeerForError(p, fmt.Errorf("panic in the reactor of channel %#x: %v", c.desc.ID, r))
		}
	}()
	msg, err := c.decode(p, b)
	if err != nil {
		c.yard.sw.StopPeerForError(p, err)
		return
	}
	c.yard.countReceived(p, c.desc.ID, labelOf(msg), len(b))
	c.reactor.Receive(p2p.Envelope{ChannelID: c.desc.ID, Src: p, Message: msg})
}

func (c *channel) decode(p *peer, b []byte) (proto.Message, error) {
	if f, ok := c.reactor.(bytesFilter); ok {
		if err := f.FilterMsgBytes(c.desc.ID, p, b); err != nil {
			return nil, fmt.Errorf("rejected msg on chID %#x from %s: %w", c.desc.ID, p.ID(), err)
		}
	}
	msg := proto.Clone(c.desc.MessageType)
	if err := proto.Unmarshal(b, msg); err != nil {
		return nil, fmt.Errorf("unmarshaling message: %w into type: %T", err, c.desc.MessageType)
	}
	if w, ok := msg.(unwrapper); ok {
		inner, err := w.Unwrap()
		if err != nil {
			return nil, fmt.Errorf("unwrapping message: %w", err)
		}
		return inner, nil
	}
	return msg, nil
}
