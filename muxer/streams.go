package muxer

import (
	"context"
	"io"
	"net"
	"time"
)

// StreamMuxer makes byte streams of a connection, for a wire that lets nodes choose among several. Methods may be called concurrently.
type StreamMuxer interface {
	// Name is the name that configuration uses, such as "yamux".
	Name() string
	// Protocol is the name under which it is offered, such as "/yamux/1.0.0".
	Protocol() string
	// New makes streams of conn, which it owns from then on.
	New(conn net.Conn, side Side) (Streams, error)
}

// Streams is a connection that carries byte streams. All methods may be called concurrently.
type Streams interface {
	// Open begins a stream. It waits while the remote has not yet taken notice of many earlier ones.
	Open(ctx context.Context) (RawStream, error)
	// Accept waits for the next stream that the remote begins. One goroutine calls it. Its error is final, and says why the
	// connection ended: ErrClosed, or a *CloseError.
	Accept() (RawStream, error)
	// Watch says who is told of what happens on the connection. Call it before anything else, once.
	Watch(Watcher)
	// Backlog is how many bytes that WriteReady has taken wait for the connection.
	Backlog() int
	// Pending says that streams have arrived, before the end of what the remote sends, for which Accept was not called yet; the last one that Accept
	// returned counts until the next call, and one that was announced until that call has returned.
	Pending() bool
	// Ping measures one round trip.
	Ping(ctx context.Context) (time.Duration, error)
	// Bytes are what passed the connection.
	Bytes() (sent, received uint64)
	// Goodbye tells the remote why the connection ends, code and reason as far as the wire can carry them, and tries for no longer than within. Data must
	// not be written afterwards.
	Goodbye(code Code, reason string, within time.Duration)
	// Close closes the connection and all streams and waits for the goroutines of both. It may be called more than once.
	Close() error
}

// Announcer is implemented by Streams that hand over the streams which the remote begins, so that nobody has to wait in Accept.
type Announcer interface {
	// Announce makes f be called with each of them, one at a time, on a goroutine of the connection. f must not block for long. Call it once, behind Watch, and
	// never Accept then. How the connection ends, Watcher.Ended tells.
	Announce(f func(RawStream))
}

// Measurer is implemented by Streams that measure the round trip from the beginning, and again and again, as part of what keeps the connection alive.
type Measurer interface {
	// RTT is the round trip; 0 while none is known.
	RTT() time.Duration
}

// Watcher is told of what happens on a connection. Its methods are called on the connection's own goroutines: they must not block and
// not call back into the connection, except Backlog and RawStream.Ready.
type Watcher interface {
	// Drained says that Backlog has become less, or Pending false.
	Drained()
	// Ended says that the remote sends no more. What has arrived before can still be read, until Close; a Read that finds nothing ends soon after, whatever its
	// deadline, with an error that is not io.EOF. err is io.EOF, or a *CloseError.
	Ended(err error)
}

// Ready is what can be done with a stream without waiting.
type Ready struct {
	Readable int  // bytes that Read has at once
	Ended    bool // nothing comes behind them: the remote has closed its side, or reset the stream
	Reset    bool // the stream was reset
	Writable int  // bytes that WriteReady takes
}

// RawStream is a byte stream whose protocol is not known yet. Reads and writes may be concurrent with each other. Unlike those of the stream of a bare
// library, concurrent writes are allowed too: each is written in one piece.
type RawStream interface {
	net.Conn
	CloseWrite() error
	// Reset ends both directions at once.
	Reset(Code) error
	// Ready says what can be done without waiting.
	Ready() Ready
	// WriteReady writes p, which is no longer than Ready().Writable, and waits for nothing but room in the connection's own short queue.
	WriteReady(p []byte) error
	// Watch makes f be called whenever Ready becomes more. f must not block, and not call back into the connection, except Ready.
	Watch(f func())
}

// PromptStream is implemented by a RawStream that can also be read by the function that watches it, on the goroutine that calls that.
type PromptStream interface {
	// ReadNow reads some of what is there, and waits for nothing; 0 says that Read has to be used.
	ReadNow(p []byte) int
}

// PromptWriter is implemented by a RawStream of which a short piece can be written without waiting.
type PromptWriter interface {
	// WriteNow writes head and body as one piece if that is possible at once; false says that nothing was written, and WriteReady has to be used. Write must not be used on
	// the same stream.
	WriteNow(head, body []byte) bool
}

// Patient is implemented by Streams that answer by themselves, to the remote's pings and the like.
type Patient interface {
	// Patience says that the caller is about to say something: the first such answers may wait for d at most, to go with that.
	Patience(d time.Duration)
}

// EndWriter is implemented by a stream whose last piece can go out together with the end of our side.
type EndWriter interface {
	// WriteEnd is a Write and a CloseWrite.
	WriteEnd(p []byte) error
}

// WriteEnd writes p to s and closes our side, together if s can do that.
func WriteEnd(s interface {
	io.Writer
	CloseWrite() error
}, p []byte) error {
	if e, ok := s.(EndWriter); ok {
		return e.WriteEnd(p)
	}
	if _, err := s.Write(p); err != nil {
		return err
	}
	return s.CloseWrite()
}

// StreamServer is implemented by a Handler that takes the byte streams which the remote opens. Without it they are refused.
type StreamServer interface {
	// Serves says whether streams of that protocol are taken. It must not block.
	Serves(protocol string) bool
	// ServeStream takes over a stream. It has a goroutine of its own, and must return soon after ctx, which ends with the session.
	ServeStream(ctx context.Context, s Stream)
}
