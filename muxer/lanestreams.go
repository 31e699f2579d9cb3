package muxer

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
)

// ErrUnknownProtocol says that the remote does not take streams of a protocol.
var ErrUnknownProtocol = errors.New("unknown protocol")

// namedStream is a stream whose protocol is agreed on. It implements Stream.
type namedStream struct {
	RawStream
	protocol string
}

func (n *namedStream) Protocol() string { return n.protocol }

// OpenStream implements StreamSession. It works from the beginning, also before Run. It waits until the remote has taken the protocol; when it
// does not, the error wraps ErrUnknownProtocol.
func (s *Lanes) OpenStream(ctx context.Context, protocol string) (Stream, error) {
	raw, err := s.streams.Open(ctx)
	if err != nil {
		return nil, s.streamError(ctx, err)
	}
	unhook := context.AfterFunc(ctx, func() { _ = raw.Reset(CodeTimeout) })
	_, err = multistream.Select(raw, []string{protocol})
	if !unhook() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = raw.Reset(CodeUnknown)
		if errors.Is(err, multistream.ErrRefused) {
			return nil, errors.Join(ErrUnknownProtocol, err)
		}
		return nil, s.streamError(ctx, err)
	}
	return &namedStream{raw, protocol}, nil
}

// streamError says why a stream could not be opened.
func (s *Lanes) streamError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	return err
}

// maxNaming is how many streams the remote may have open whose protocol is not agreed on. Each costs a goroutine until its time is up.
const maxNaming = 256

// acceptLoop takes the streams that the remote opens, until the connection ends.
func (s *Lanes) acceptLoop() {
	for {
		raw, err := s.streams.Accept()
		if err != nil {
			s.ended(err) // if nothing else has said so
			return
		}
		s.accepted(raw)
	}
}

// accepted takes a stream that the remote has opened.
func (s *Lanes) accepted(raw RawStream) {
	s.mu.Lock()
	many := s.naming >= maxNaming
	if !many {
		s.naming++
	}
	s.mu.Unlock()
	if many {
		_ = raw.Reset(CodeTooManyStarts)
		return
	}
	s.wg.Go(func() { s.serve(raw) })
}

// serve agrees on the protocol of a stream and hands it to whom it is for.
func (s *Lanes) serve(raw RawStream) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("the handler of a stream panicked", slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			_ = raw.Reset(CodeUnknown)
		}
	}()
	_ = raw.SetReadDeadline(time.Now().Add(s.cfg.Negotiation)) // what we say fits into any window
	protocol, pending, err := multistream.Answer(raw, func(p string) bool { return s.takes(raw, p) })
	own := s.cfg.Serve(protocol)
	if err == nil && own == nil {
		_, _ = raw.Write(pending) // the remote may have said all that it wanted, and listen no more
	}
	lane, single := -1, -1
	if err == nil && own == nil {
		_ = raw.SetReadDeadline(time.Time{})
		lane, single = s.laneOf(protocol)
	}
	attached := lane >= 0 && s.attach(lane, raw)
	s.mu.Lock()
	s.naming--
	if single >= 0 {
		s.single.reading++
	}
	s.wakeAtEnd()
	s.mu.Unlock()
	switch {
	case attached:
	case single >= 0:
		s.receiveSingle(single, raw)
	case err != nil, lane >= 0: // a second stream of a channel would break its order
		_ = raw.Reset(CodeProtocolError)
	case own != nil:
		st := &heldStream{namedStream: namedStream{raw, protocol}}
		st.held.Store(&pending)
		own(s.life, st)
		_ = st.Close()
	default:
		s.handler.(StreamServer).ServeStream(s.life, &namedStream{raw, protocol})
	}
}

// laneOf says for which lane streams of a protocol are: long-lived ones, or such as carry one message each; -1 for none. The channels are set.
func (s *Lanes) laneOf(protocol string) (lane, single int) {
	if i := findLane(s.lanes, protocol); i >= 0 {
		return i, -1
	}
	for i := range s.lanes {
		if l := &s.lanes[i]; l.single != "" && l.single == protocol {
			return -1, i
		}
	}
	return -1, -1
}

// heldStream is a stream on which the answer to the remote's proposal goes out together with what its handler says first, or before the handler waits for
// the remote. Until its first Write has returned, one goroutine uses it.
type heldStream struct {
	namedStream
	held atomic.Pointer[[]byte]
}

// flush sends the answer. That the remote listens no more is no error: it may still have something to say.
func (h *heldStream) flush() {
	if held := h.held.Swap(nil); held != nil {
		_, _ = h.namedStream.Write(*held)
	}
}

func (h *heldStream) Write(p []byte) (int, error) {
	held := h.held.Swap(nil)
	if held == nil {
		return h.namedStream.Write(p)
	}
	n, err := h.namedStream.Write(append(*held, p...))
	return max(n-len(*held), 0), err
}

// WriteEnd implements EndWriter.
func (h *heldStream) WriteEnd(p []byte) error {
	if held := h.held.Swap(nil); held != nil {
		p = append(*held, p...)
	}
	return WriteEnd(h.RawStream, p)
}

func (h *heldStream) Read(p []byte) (int, error) {
	if r := h.Ready(); r.Readable <= 0 && !r.Ended { // what was read may not be counted yet
		h.flush()
	}
	return h.namedStream.Read(p)
}

func (h *heldStream) CloseWrite() error {
	h.flush()
	return h.namedStream.CloseWrite()
}

func (h *heldStream) Close() error {
	h.flush()
	return h.namedStream.Close()
}

// takes says whether we take a protocol. What the wire does not take itself waits for Run, which brings the channels' and applications' handler.
func (s *Lanes) takes(raw RawStream, protocol string) bool {
	if s.cfg.Proposed != nil {
		s.cfg.Proposed(protocol)
	}
	if s.cfg.Serve(protocol) != nil {
		return true
	}
	_ = raw.SetReadDeadline(time.Time{}) // the wait is ours, not the remote's
	<-s.started
	_ = raw.SetReadDeadline(time.Now().Add(s.cfg.Negotiation))
	s.mu.Lock()
	lane, single := s.laneOf(protocol)
	h, running := s.handler, s.running && s.err == nil
	s.mu.Unlock()
	if lane >= 0 || single >= 0 {
		return true
	}
	server, ok := h.(StreamServer)
	return running && ok && server.Serves(protocol)
}
