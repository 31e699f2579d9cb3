// Package muxer defines a session: the traffic of one link, as whole messages in channels and, where the wire has them,
// as byte streams. Package muxer/mconn speaks CometBFT's MConnection wire. Package muxer/lanes makes a session of any
// connection with streams: those of muxer/yamux and transport/quic. Each session passes the suite in muxer/muxertest.
package muxer

import (
	"context"
	"errors"
	"io"
	"time"
)

// Side is the end of a connection that we are.
type Side uint8

const (
	Listener Side = iota // the remote dialed us
	Dialer               // we dialed the remote
)

func (s Side) String() string {
	if s == Dialer {
		return "dialer"
	}
	return "listener"
}

// Message is one whole message of a channel.
type Message struct {
	Channel byte
	Data    []byte
}

// Handler takes what a session receives. The session calls it, from Run until Run returns.
type Handler interface {
	// Established is called once, when the remote has accepted the link, before anything is delivered or served. It
	// must not block.
	Established()
	// Deliver takes whole messages, in the order in which they arrived. Their Data belongs to the handler; msgs does
	// not, and is reused. Calls for one channel are serial. Where the wire has streams, calls for several channels are
	// concurrent, and each is about one channel.
	//
	// Deliver may block, which is how backpressure reaches the remote: on a wire with streams it holds up its channel
	// alone, on MConn all reading of the connection, but not the answers to keep-alives. An error ends the session: Run
	// returns it.
	//
	// A call without messages, on MConn, says that the remote has closed its end with CodeMoved, and that all it sent
	// has been delivered. The handler closes ours the same way before it returns nil, or returns an error.
	Deliver(ctx context.Context, msgs []Message) error
	// Serves reports whether ServeStream takes streams of a protocol. It must not block.
	Serves(protocol string) bool
	// ServeStream serves a stream that the remote has opened, on a goroutine of its own. It must return soon after ctx,
	// which ends with the session. Run warns of one that does not within 5 s, and returns without it.
	ServeStream(ctx context.Context, s Stream)
}

// Session is the traffic of one link. Methods may be called concurrently, Run once.
type Session interface {
	// Run serves the session until it ends, and returns why, never nil: an error that wraps ErrClosed after a local
	// Close, io.EOF when the remote hung up between messages, a *CloseError when the wire carried a reason. When it
	// returns, the connection is closed and every goroutine of the session has returned, but for such a ServeStream.
	Run(context.Context, Handler) error
	// Send queues msg on a channel and waits while the channel's send queue is full. The session keeps msg without
	// copying it: the caller must not change it afterwards, so that a broadcast can share one buffer. A nil error says
	// that msg is queued, not that it arrived. Other errors: ErrMessageTooLarge, ErrUnknownChannel, why the session
	// ended.
	Send(ctx context.Context, channel byte, msg []byte) error
	// TrySend is Send that never waits. It reports whether msg was queued.
	TrySend(channel byte, msg []byte) bool
	// OpenStream opens a byte stream and offers protocols in order. It returns before the remote has chosen: the first
	// Read waits for that, and with several protocols so do Protocol and the first Write. The protocol "" leaves it to
	// the caller to negotiate one over the stream. The error is ErrNoStreams on a wire without streams.
	OpenStream(ctx context.Context, protocols ...string) (Stream, error)
	// Ping measures a round trip with the wire's own keep-alive.
	Ping(context.Context) (time.Duration, error)
	// Stats returns what passed the link so far.
	Stats() Stats
	// ChannelStats returns the same of each channel that the session carries, in no promised order.
	ChannelStats() []ChannelStats
	// Close ends the session and makes Run return; it does not wait for that. After an orderly code the session first
	// sends what is queued, for at most a short grace. The remote is told code and reason where the wire can. The first
	// call counts.
	//
	// With CodeMoved, another link of the peer takes over, and no message may be lost: on MConn, sends fail with
	// ErrMoved from then on, what is queued is sent however long it takes, and Deliver is called until the remote has
	// sent everything too. Run returns an error with CodeMoved if that worked, and another one if not. A Close with
	// another code cuts it short. The remote must do the same: see Handler.
	Close(code Code, reason string) error
}

// Stream is a byte stream with a protocol. Reads and writes may be concurrent.
//
// Errors of Read and Write: io.EOF behind the last byte, a *ResetError after a reset, os.ErrDeadlineExceeded,
// net.ErrClosed for what was closed on our side, and otherwise why the session ended.
type Stream interface {
	// Read waits for the remote's choice of a protocol before all else, and a Read of no bytes for nothing but that.
	// The error wraps ErrUnknownProtocol if the remote takes none of the offered ones.
	io.Reader
	io.Writer
	// Protocol returns the stream's protocol: the only one that was offered, until the remote refuses it, or the one
	// that the remote has chosen of several, for which it waits. It is "" if there is none.
	Protocol() string
	// CloseWrite ends our side, and waits for nobody. The end goes out behind the remote's choice of protocol:
	// js-libp2p loses what lies between an offer and an end that come together.
	CloseWrite() error
	// CloseRead ends reading: a Read that waits, and all later ones, return net.ErrClosed. What the remote still sends
	// is dropped. Over QUIC the remote is told not to send.
	CloseRead() error
	// Close ends both directions, as CloseWrite and CloseRead do. What was written still arrives. Every stream needs a
	// Close or a Reset in the end.
	Close() error
	// Reset ends both directions at once, with the number of a Code.
	Reset(Code) error
	// ResetWith is Reset with any number. The remote finds it in a ResetError.
	ResetWith(ResetCode) error
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// Stats are counters. Bytes count as they pass the connection beneath: behind the framing, before encryption.
type Stats struct {
	SentBytes, ReceivedBytes       uint64
	SentMessages, ReceivedMessages uint64
	Dropped                        uint64        // messages that TrySend refused
	RTT                            time.Duration // the last measured round trip; 0 before the first
}

// ChannelStats are the counters of one channel. Bytes are those of messages, without framing.
type ChannelStats struct {
	ID                byte
	Priority          int // weight of its share of a busy connection
	SendQueue         int // bytes that wait to be sent, with the overhead of each message
	SendQueueCapacity int // bytes that may
	SendQueueMessages int // messages that wait

	SentMessages, ReceivedMessages uint64
	SentBytes, ReceivedBytes       uint64
}

var (
	// ErrClosed says that the session was closed on our side. It wraps net.ErrClosed.
	ErrClosed error = closedError{}
	// ErrMoved says that a session takes no more messages, because another link of its peer has taken over.
	ErrMoved = errors.New("the peer has moved to another link")
	// ErrUnknownChannel names a channel that the session does not have.
	ErrUnknownChannel = errors.New("unknown channel")
	// ErrMessageTooLarge says that a message is longer than its channel's MaxMessage.
	ErrMessageTooLarge = errors.New("message too large")
	// ErrPongTimeout says that the remote did not answer a keep-alive in time.
	ErrPongTimeout = errors.New("no answer to keep-alive")
	// ErrNoStreams says that a link's wire carries messages only.
	ErrNoStreams = errors.New("this peer's wire has no streams")
	// ErrUnknownProtocol says that the remote takes none of the protocols of a stream.
	ErrUnknownProtocol = errors.New("unknown protocol")
)
