package echo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// StreamProtocol is the service on byte streams: it returns every byte until the remote closes its side, then closes
// ours.
const StreamProtocol = "/echo/1.0.0"

// streamIdle is how long a stream may be idle in either direction before it is reset.
const streamIdle = 2 * time.Minute

// buffers holds the copy buffers of streams.
var buffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// HandleStreams registers the service for streams with handle, the host's HandleStream. Call it once, before or while
// the host runs.
func (s *Service) HandleStreams(
	handle func(protocol string, h host.StreamHandler, opts ...host.StreamOption) error,
) error {
	if err := handle(StreamProtocol, s.serveStream); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	return nil
}

// serveStream returns a stream's bytes. It reads only after it has written, so a remote that does not read cannot go on
// sending.
func (s *Service) serveStream(_ context.Context, from transport.NodeID, st muxer.Stream) {
	buf := buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(buf)
	for {
		_ = st.SetDeadline(time.Now().Add(streamIdle))
		n, err := st.Read(buf[:])
		if n > 0 {
			if _, werr := st.Write(buf[:n]); werr != nil {
				err = werr
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = st.CloseWrite()
			s.answered.Add(1)
			return
		default:
			s.log.Debug("a stream broke", "peer", from.Short(), "error", err)
			s.dropped.Add(1)
			_ = st.Reset(muxer.CodeUnknown)
			return
		}
	}
}

// ErrChanged reports that other bytes came back than were sent.
var ErrChanged = errors.New("other bytes came back than were sent")

// Opener opens a stream to the node that is to echo: a session's OpenStream, or To.
type Opener func(ctx context.Context, protocols ...string) (muxer.Stream, error)

// To returns an Opener of streams to a peer of h.
func To(h *host.Host, id transport.NodeID) Opener {
	return func(ctx context.Context, protocols ...string) (muxer.Stream, error) {
		return h.OpenStream(ctx, id, protocols...)
	}
}

// Stream sends size random bytes on a stream and compares what comes back, in constant memory. It returns the time from
// the first byte sent until the remote has closed its side, without opening the stream. It fails with an error of open,
// ErrChanged, ctx's error or an error of the stream.
func Stream(ctx context.Context, open Opener, size int64) (time.Duration, error) {
	st, err := open(ctx, StreamProtocol)
	if err != nil {
		return 0, fmt.Errorf("echo: %w", err)
	}
	unhook := context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })
	defer unhook()
	if _, err := st.Read(nil); err != nil { // waits until the remote has taken the protocol
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return 0, fmt.Errorf("echo: %w", err)
	}
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // it never fails
	began := time.Now()
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(st, io.LimitReader(mrand.NewChaCha8(seed), size))
		if err == nil {
			err = st.CloseWrite()
		}
		sent <- err
	}()
	err = compare(st, mrand.NewChaCha8(seed), size)
	took := time.Since(began)
	if err != nil {
		_ = st.Reset(muxer.CodeUnknown) // ends the sender too
	}
	if serr := <-sent; serr != nil && err == nil {
		err = serr
	}
	_ = st.Close()
	switch {
	case ctx.Err() != nil:
		return 0, fmt.Errorf("echo: %w", ctx.Err())
	case err != nil:
		return 0, fmt.Errorf("echo: %w", err)
	}
	return took, nil
}

// compare reads r to its end and compares it with the first size bytes of want.
func compare(r, want io.Reader, size int64) error {
	got, expected := buffers.Get().(*[32 << 10]byte), buffers.Get().(*[32 << 10]byte)
	defer buffers.Put(got)
	defer buffers.Put(expected)
	var at int64
	for {
		n, err := r.Read(got[:])
		if at += int64(n); at > size {
			return fmt.Errorf("%w: more than the %d bytes that were sent", ErrChanged, size)
		}
		_, _ = io.ReadFull(want, expected[:n]) // it never fails
		switch {
		case !bytes.Equal(got[:n], expected[:n]):
			return fmt.Errorf("%w: within byte %d to %d of %d", ErrChanged, at-int64(n), at, size)
		case errors.Is(err, io.EOF) && at == size:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: the remote closed its side after %d of %d bytes", ErrChanged, at, size)
		case err != nil:
			return err
		}
	}
}
