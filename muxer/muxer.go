// Package muxer says what a session is: the traffic of one link, as whole messages in channels and, where the
// wire can, as byte streams. Implementations live in muxer/mconn (CometBFT's MConnection wire) and muxer/yamux;
// every one of them passes the suite in muxer/muxertest.
package muxer

import (
	"context"
	"errors"
	"io"
	"time"
)

// Side says which end of a connection we are.
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

// Handler takes over what a session receives.
type Handler interface {
	// Deliver takes over whole messages, in the order in which they arrived. Their Data belongs to the handler from
	// then on; the slice msgs itself does not, and is reused after Deliver returns. One goroutine calls Deliver, the
	// one that runs Session.Run.
	//
	// Deliver may block: that pauses reading, and is how backpressure reaches the remote. The session keeps the link
	// alive meanwhile (it answers keep-alives on its own and does not blame the remote for silence). An
	// error ends the session: Run returns it.
	Deliver(ctx context.Context, msgs []Message) error
}

// PromptHandler is implemented by a Handler that can take messages over without waiting. A session that has little to hand over may do that on the goroutine on
// which it arrives, which saves waking another one.
type PromptHandler interface {
	// DeliverNow is Deliver that never waits: it takes over the first of msgs, as many as there is room for, and says how many. The others are delivered
	// again, by Deliver. It may be called on any goroutine, but not while Deliver or another DeliverNow runs.
	DeliverNow(msgs []Message) (taken int)
}

// Liveness is implemented by a Handler that must know when the remote has accepted the link, on wires that have no message for that: the session calls Alive
// once, on Run's goroutine, when the first packet of any kind has arrived, before it delivers anything. If none has come within Patience after the beginning of
// Run, it asks for one with a keep-alive; 0 asks at once.
type Liveness interface {
	Alive()
	Patience() time.Duration
}

// Session is the traffic of one link. All methods may be called concurrently, Run once.
type Session interface {
	// Send queues msg on a channel and waits while the channel's send queue is full. The session keeps msg
	// without copying it until it is written: the caller must not change it afterwards (so that a broadcast can share
	// one buffer between sessions). A nil error says that msg is queued, not that it arrived. A message longer than the
	// channel's MaxMessage is refused with ErrMessageTooLarge; a channel that the session does not have, with ErrUnknownChannel.
	Send(ctx context.Context, channel byte, msg []byte) error
	// TrySend is Send that gives up at once instead of waiting: false says that msg was not queued.
	TrySend(channel byte, msg []byte) bool
	// Run reads until the session ends, hands messages to h, and returns why it ended, never nil: an error that wraps ErrClosed after a
	// local Close, io.EOF when the remote hung up between messages, a *CloseError when the wire carried a reason. Run closes the session
	// before it returns and returns only after the session's goroutines have.
	Run(ctx context.Context, h Handler) error
	// Close ends the session: it sends what is queued for at most a short grace (where code is an orderly one), tells the
	// remote code and reason where the wire can, closes the connection and makes Run return. It may be called more than once; the first call counts.
	Close(code Code, reason string) error
	// Ping measures one round trip with the wire's own keep-alive.
	Ping(ctx context.Context) (time.Duration, error)
	// Stats tells what went over the link so far.
	Stats() Stats
}

// Starter is implemented by a Session that needs no goroutine of its own while nothing happens.
type Starter interface {
	// Start is Run, but for returning at once: ended is called with what Run would return, once, on a goroutine of the session, behind which it has no other. An
	// error is that of calling it, or Run, twice.
	Start(ctx context.Context, h Handler, ended func(error)) error
}

// Stream is one byte stream of a StreamSession. Reads and writes may be concurrent with each other; Close closes our write side,
// Reset ends both.
type Stream interface {
	io.Reader
	io.Writer
	Protocol() string
	CloseWrite() error
	Close() error
	Reset(Code) error
	SetDeadline(time.Time) error
	SetReadDeadline(time.Time) error
	SetWriteDeadline(time.Time) error
}

// StreamSession is a Session whose wire also carries byte streams (yamux, QUIC; not MConn).
type StreamSession interface {
	Session
	OpenStream(ctx context.Context, protocol string) (Stream, error)
}

// Stats are a session's counters. Bytes are counted as they pass the raw connection of the session (after the
// muxer's framing, before encryption). RTT is the last measured round trip; 0 when none was measured yet.
type Stats struct {
	SentBytes, ReceivedBytes       uint64
	SentMessages, ReceivedMessages uint64
	// Dropped counts messages that TrySend refused.
	Dropped uint64
	RTT     time.Duration
}

var (
	// ErrClosed says that the session was closed on our side. It also wraps net.ErrClosed.
	ErrClosed error = closedError{}
	// ErrUnknownChannel names a channel that the session was not given.
	ErrUnknownChannel = errors.New("unknown channel")
	// ErrMessageTooLarge says that a message is longer than its channel's MaxMessage.
	ErrMessageTooLarge = errors.New("message too large")
	// ErrPongTimeout says that the remote did not answer a keep-alive in time.
	ErrPongTimeout = errors.New("no answer to keep-alive")
)
