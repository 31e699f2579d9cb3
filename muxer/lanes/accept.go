package lanes

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// maxNaming is how many streams the remote may have open whose protocol is not agreed on. Each costs a goroutine until
// its time is up.
const maxNaming = 256

// maxEarly is how many streams of the remote are served at once before Run. The others wait.
const maxEarly = 16

// acceptLoop takes the streams that the remote opens, until the connection or ctx ends. One goroutine runs it at a
// time. places, if set, has room for a value for each stream that is served at once.
func (s *Session) acceptLoop(ctx context.Context, places chan struct{}) {
	for {
		if places != nil {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
		raw, err := s.streams.Accept(ctx)
		switch {
		case err == nil:
			s.accept(raw, places)
			continue
		case ctx.Err() != nil && s.life.Err() == nil: // Run goes on
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.input == nil {
			s.input = err
			close(s.over)
		}
		return
	}
}

// accept lets a stream of the remote be served, and gives its place back behind that.
func (s *Session) accept(raw muxer.RawStream, places <-chan struct{}) {
	s.mu.Lock()
	many := s.naming >= maxNaming
	if !many {
		s.naming++
	}
	s.mu.Unlock()
	if many {
		_ = raw.Reset(muxer.CodeTooManyStarts)
		return
	}
	s.reading.Add(1)
	s.wg.Go(func() {
		if places != nil {
			defer func() { <-places }()
		}
		serve := s.name(raw)
		s.mu.Lock()
		s.naming--
		s.mu.Unlock()
		serve()
	})
}

// name agrees with the remote on the protocol of its stream, and returns what serves it. That calls s.reading.Done when
// it has read what the session itself reads.
func (s *Session) name(raw muxer.RawStream) (serve func()) {
	st := &stream{RawStream: raw, session: s, turn: make(chan struct{}, 1)}
	_ = raw.SetReadDeadline(time.Now().Add(s.cfg.Negotiation)) // what we say fits into any window
	protocol, answer, err := multistream.Answer(readAhead{st}, func(p string) bool { return s.takes(raw, p) })
	if err != nil {
		return func() {
			defer s.reading.Done()
			_ = raw.Reset(muxer.CodeProtocolError)
		}
	}
	st.protocol.Store(&protocol)
	st.pending.Store(&answer)
	if own := s.cfg.Serve(protocol); own != nil {
		return func() { s.serve(st, own) }
	}
	_ = raw.SetReadDeadline(time.Time{})
	st.flush()      // the remote may wait for it
	s.established() // who opens a stream has accepted the link
	for i := range s.lanes {
		switch protocol {
		case s.lanes[i].Name:
			return func() { s.readLane(i, st) }
		case s.lanes[i].single:
			return func() { s.readSingle(i, st) }
		}
	}
	return func() {
		s.mu.Lock()
		if s.handlers == nil {
			s.handlers = map[*stream]struct{}{}
		}
		s.handlers[st] = struct{}{}
		s.mu.Unlock()
		go func() { // Run waits for it, but not for ever: see awaitHandlers
			s.serve(st, s.handler.ServeStream)
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.handlers, st)
			if len(s.handlers) == 0 && s.handled != nil {
				close(s.handled)
			}
		}()
	}
}

// handlerGrace is how long Run waits for handlers of streams after the end of the connection.
const handlerGrace = 5 * time.Second

// awaitHandlers waits until the handlers of streams have returned. Those that ignore the end of their context are left
// behind after a grace, with a warning.
func (s *Session) awaitHandlers() {
	s.mu.Lock()
	if len(s.handlers) == 0 {
		s.mu.Unlock()
		return
	}
	handled := make(chan struct{})
	s.handled = handled
	s.mu.Unlock()
	t := time.NewTimer(handlerGrace)
	defer t.Stop()
	select {
	case <-handled:
		return
	case <-t.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for st := range s.handlers {
		s.cfg.Logger.Warn("a stream handler ignores the end of its link", slog.String("protocol", st.Protocol()))
	}
}

// endCode returns the code for which the session has ended.
func (s *Session) endCode() muxer.Code {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ce, ok := errors.AsType[*muxer.CloseError](s.err); ok {
		return ce.Code
	}
	return muxer.CodeUnknown
}

// serve lets a protocol's handler serve a stream. A handler that panics costs its stream.
func (s *Session) serve(st *stream, handle func(context.Context, muxer.Stream)) {
	s.reading.Done()
	defer func() {
		if r := recover(); r != nil {
			s.cfg.Logger.Error("the handler of a stream panicked", slog.String("protocol", st.Protocol()),
				slog.Any("panic", r),
				slog.String("stack", string(debug.Stack())))
			_ = st.Reset(muxer.CodeUnknown)
		}
	}()
	handle(s.life, st)
	_ = st.Close()
}

// takes reports whether we take a protocol. The remote waits for Run where the wire itself does not take it.
func (s *Session) takes(raw muxer.RawStream, protocol string) bool {
	if s.cfg.Proposed != nil {
		s.cfg.Proposed(protocol)
	}
	if s.cfg.Serve(protocol) != nil {
		return true
	}
	_ = raw.SetReadDeadline(time.Time{}) // the wait is ours, not the remote's
	<-s.started
	_ = raw.SetReadDeadline(time.Now().Add(s.cfg.Negotiation))
	if s.ctx.Err() != nil { // the session has ended. To say na would be to say that we do not have the protocol
		_ = raw.Reset(s.endCode())
		return false
	}
	for i := range s.lanes {
		if l := &s.lanes[i]; l.Name == protocol || l.single != "" && l.single == protocol {
			return true
		}
	}
	return s.handler.Serves(protocol)
}
