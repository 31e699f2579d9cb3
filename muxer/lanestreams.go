package muxer

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
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

// acceptLoop takes the streams that the remote opens, until the connection ends.
func (s *Lanes) acceptLoop() {
	for {
		raw, err := s.streams.Accept()
		if err != nil {
			s.ended(err) // if nothing else has said so
			s.mu.Lock()
			s.impatient = true // what is left of the streams is lost
			s.news.Signal()
			s.mu.Unlock()
			return
		}
		s.mu.Lock()
		s.naming++
		s.mu.Unlock()
		s.wg.Go(func() { s.serve(raw) })
	}
}

// serve agrees on the protocol of a stream and hands it to whom it is for.
func (s *Lanes) serve(raw RawStream) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("the handler of a stream panicked", slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
			_ = raw.Reset(CodeUnknown)
		}
	}()
	_ = raw.SetDeadline(time.Now().Add(s.cfg.Negotiation))
	protocol, err := multistream.Answer(raw, func(p string) bool { return s.takes(raw, p) })
	_ = raw.SetDeadline(time.Time{})
	lane := -1
	if own := s.cfg.Serve[protocol]; err == nil && own == nil {
		if i, ok := s.byName[protocol]; ok {
			lane = i
		}
	}
	attached := err == nil && lane >= 0 && s.attach(lane, raw)
	s.mu.Lock()
	s.naming--
	s.news.Signal()
	s.mu.Unlock()
	switch own := s.cfg.Serve[protocol]; {
	case attached:
	case err != nil, lane >= 0: // a second stream of a channel would break its order
		_ = raw.Reset(CodeProtocolError)
	case own != nil:
		own(s.life, &namedStream{raw, protocol})
		_ = raw.Close()
	default:
		s.handler.(StreamServer).ServeStream(s.life, &namedStream{raw, protocol})
	}
}

// takes says whether we take a protocol. What the wire does not take itself waits for Run, which brings the channels' and applications' handler.
func (s *Lanes) takes(raw RawStream, protocol string) bool {
	if s.cfg.Serve[protocol] != nil {
		return true
	}
	_ = raw.SetDeadline(time.Time{}) // the wait is ours, not the remote's
	<-s.started
	_ = raw.SetDeadline(time.Now().Add(s.cfg.Negotiation))
	s.mu.Lock()
	_, isLane := s.byName[protocol]
	h, running := s.handler, s.running && s.err == nil
	s.mu.Unlock()
	if isLane {
		return true
	}
	server, ok := h.(StreamServer)
	return running && ok && server.Serves(protocol)
}
