package muxer

import (
	"context"
	"net"
	"time"
)

// StreamMuxer makes byte streams of a secured connection. A wire offers the remote several of them. Methods may be
// called concurrently.
type StreamMuxer interface {
	// Name is the name in a configuration, such as "yamux".
	Name() string
	// Protocol is the name on the wire, such as "/yamux/1.0.0".
	Protocol() string
	// New makes streams of conn, which it owns from then on.
	New(conn net.Conn, side Side) (Streams, error)
}

// Streams is a connection that carries byte streams: yamux over TCP, or QUIC. Methods may be called concurrently.
type Streams interface {
	// Open opens a stream. It waits while too many earlier ones are unknown to the remote.
	Open(context.Context) (RawStream, error)
	// Accept waits for the next stream that the remote opens. One goroutine calls it at a time. It returns every stream
	// that arrived before the remote ended the connection, and then, for good, why the connection ended: io.EOF when
	// the remote hung up, a *CloseError, or ErrClosed after CloseWith. What has arrived on streams can still be read
	// then, until CloseWith. If ctx ends, Accept returns its error and may be called again.
	Accept(context.Context) (RawStream, error)
	// Up tells that the link is up. Until then the remote can make us hold next to nothing: what it sends beyond that
	// waits with it, or ends the connection.
	Up()
	// Ping measures a round trip.
	Ping(context.Context) (time.Duration, error)
	// Stats returns the counters of bytes, and the round trip where the connection measures it by itself.
	Stats() Stats
	// CloseWith tells the remote why the connection ends, as far as it can carry code and reason, and ends the
	// connection, all streams and all goroutines. If grace is positive, the remote first gets at most that time to read
	// what was written and to hang up; reading goes on meanwhile. CloseWith may be called again, and a later call with
	// no grace ends the wait of an earlier one; the first code and reason count.
	CloseWith(code Code, reason string, grace time.Duration) error
}

// RawStream is a byte stream without a protocol. Reads and writes may be concurrent. Concurrent writes take turns.
//
// After io.EOF from Accept, a Read that finds nothing returns io.ErrUnexpectedEOF, whatever its deadline. After a
// reset, by either end, reads and writes return a *ResetError. What ends with its connection returns none.
type RawStream interface {
	net.Conn // Close ends both directions; what was written still arrives
	CloseWrite() error
	// CloseRead drops what the remote still sends, and ends reads with net.ErrClosed.
	CloseRead() error
	// Reset ends both directions at once, with the number of a Code.
	Reset(Code) error
	// ResetWith is Reset with any number.
	ResetWith(ResetCode) error
	// Writable returns how many bytes the remote has room for on this stream.
	Writable() int
	// NotifyWritable makes f be called whenever Writable grows, and when the stream ends. f must not block, and may
	// call Writable. Call it before the first Write: from then on one goroutine at a time writes, at most Writable
	// bytes. Such a Write waits while the connection has much to send, so that a caller with several streams chooses
	// late, but never for the remote to read this stream.
	NotifyWritable(f func())
}
