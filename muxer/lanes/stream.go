package lanes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is a byte stream and how far its ends have agreed on a protocol. It implements muxer.Stream.
type stream struct {
	muxer.RawStream
	session *Session

	protocol atomic.Pointer[string] // nil until it is agreed on
	denied   atomic.Bool            // there is none: the remote takes no offer, or gives no answer
	ending   atomic.Uint32          // the end that was asked for before the protocol was agreed on

	writing sync.Mutex             // held while something is written
	pending atomic.Pointer[[]byte] // what we say of the protocol: it goes ahead of the first byte that is written

	// turn guards what follows, while it holds something. It is held while the remote's choice is awaited; waiting for
	// a sync.Mutex meanwhile would stop the time of testing/synctest.
	turn    chan struct{}
	offers  []string // what the remote was, or is to be, offered and has not answered
	refused error    // why there is no protocol
	ahead   []byte   // bytes that were read together with the remote's proposal
}

// aheadSize is how much is read at once while the remote proposes a protocol.
const aheadSize = 512

// Values of stream.ending.
const (
	endOutput = 1 // by CloseWrite
	endAll    = 2 // by Close
	endDone   = 4 // it was carried out
)

// OpenStream implements muxer.Session. It works from the beginning, also before Run.
func (s *Session) OpenStream(ctx context.Context, protocols ...string) (muxer.Stream, error) {
	if len(protocols) == 0 {
		return nil, errors.New("lanes: a stream needs a protocol")
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	raw, err := s.streams.Open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, s.ended(err)
	}
	st := &stream{RawStream: raw, session: s, offers: protocols, turn: make(chan struct{}, 1)}
	switch {
	case len(protocols) == 1 && protocols[0] == "":
		st.protocol.Store(&protocols[0])
	case len(protocols) == 1: // what is written first can go with the proposal
		proposal := multistream.Propose(protocols[0])
		st.pending.Store(&proposal)
	}
	return st, nil
}

// Protocol implements muxer.Stream.
func (s *stream) Protocol() string {
	if p := s.protocol.Load(); p != nil {
		return *p
	}
	if len(s.offers) == 1 && !s.denied.Load() {
		return s.offers[0]
	}
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	if s.agree() != nil {
		return ""
	}
	return *s.protocol.Load()
}

// agree waits for the remote's choice. Any error is final, and resets the stream unless the time for the answer is up:
// what was written may be read all the same. turn is held.
func (s *stream) agree() (err error) {
	if s.protocol.Load() != nil || s.refused != nil {
		return s.refused
	}
	s.flush()
	protocol := s.offers[0]
	if len(s.offers) == 1 {
		err = multistream.Await(s.RawStream, protocol)
	} else {
		protocol, err = multistream.Select(s.RawStream, s.offers)
	}
	if err != nil {
		if errors.Is(err, multistream.ErrRefused) {
			err = fmt.Errorf("%w: %w", muxer.ErrUnknownProtocol, err)
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			_ = s.RawStream.Reset(muxer.CodeIncompatible)
		}
		s.refused = s.why(err)
		s.denied.Store(true)
		return s.refused
	}
	s.protocol.Store(&protocol)
	return nil
}

// flush writes what is pending, unless a Write is at work: that takes it along. A Read must not wait for the Write,
// which may wait for what the remote has to say first. That the remote listens no more is no error: it may still have
// something to say.
func (s *stream) flush() {
	if s.pending.Load() == nil || !s.writing.TryLock() {
		return
	}
	defer s.writing.Unlock()
	if p := s.pending.Swap(nil); p != nil {
		_, _ = s.RawStream.Write(*p)
	}
}

// Read implements muxer.Stream.
func (s *stream) Read(p []byte) (int, error) {
	if s.ending.Load() == endAll {
		return 0, net.ErrClosed
	}
	s.turn <- struct{}{}
	s.flush()
	err := s.agree()
	n := copy(p, s.ahead) // what was read together with the remote's proposal
	if s.ahead = s.ahead[n:]; len(s.ahead) == 0 {
		s.ahead = nil
	}
	<-s.turn
	if n > 0 || err != nil || len(p) == 0 {
		return n, err
	}
	if n, err = s.RawStream.Read(p); err != nil && err != io.EOF {
		err = s.why(err)
	}
	return n, err
}

// why makes an error that is about the connection what has ended the session. That is never io.EOF, which would be the
// end of the stream.
func (s *stream) why(err error) error {
	_, reset := errors.AsType[*muxer.ResetError](err)
	if reset || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, muxer.ErrUnknownProtocol) {
		return err
	}
	over := s.session.ended(nil)
	switch {
	case over == nil:
		return err
	case errors.Is(over, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return over
}

// Write implements muxer.Stream.
func (s *stream) Write(p []byte) (n int, err error) {
	if s.ending.Load() != 0 {
		return 0, net.ErrClosed
	}
	if s.protocol.Load() == nil && len(s.offers) > 1 && s.Protocol() == "" {
		return 0, s.refusal()
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if ahead := s.pending.Swap(nil); ahead == nil {
		n, err = s.RawStream.Write(p)
	} else {
		n, err = s.RawStream.Write(append(*ahead, p...))
		n = max(n-len(*ahead), 0)
	}
	if err != nil {
		err = s.why(err)
	}
	return n, err
}

func (s *stream) refusal() error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	return s.refused
}

// CloseWrite implements muxer.Stream.
func (s *stream) CloseWrite() error {
	s.flush()
	if s.protocol.Load() == nil && s.endLater(endOutput) {
		return nil
	}
	return s.RawStream.CloseWrite()
}

// Close implements muxer.Stream.
func (s *stream) Close() error {
	s.flush()
	if s.protocol.Load() == nil {
		_ = s.RawStream.SetReadDeadline(time.Now().Add(s.session.cfg.Negotiation))
		if s.endLater(endAll) {
			return nil
		}
	}
	return s.RawStream.Close()
}

// endLater ends the stream, or our side of it, as soon as the remote has chosen a protocol, or will not. Else js-libp2p
// loses what lies between a proposal and an end that arrive together, and rust-libp2p drops a stream whose remote stops
// reading before it has the answer. false: there is nothing to wait for.
func (s *stream) endLater(how uint32) bool {
	for {
		before := s.ending.Load()
		switch {
		case before&endDone != 0:
			return false
		case before >= how:
			return true
		case !s.ending.CompareAndSwap(before, how):
		case before == 0:
			return s.session.spawn(s.endNow)
		default:
			return true
		}
	}
}

// endNow carries out what endLater was asked for, behind the remote's choice.
func (s *stream) endNow() {
	s.turn <- struct{}{}
	_ = s.agree()
	<-s.turn
	for {
		how := s.ending.Load()
		if how == endAll {
			_ = s.RawStream.Close()
		} else {
			_ = s.RawStream.CloseWrite()
		}
		if s.ending.CompareAndSwap(how, how|endDone) {
			return
		}
	}
}

// readAhead is a stream while the remote proposes a protocol. What is read together with the proposal stays with it.
type readAhead struct{ *stream }

func (r readAhead) Read(p []byte) (int, error) {
	if len(r.ahead) == 0 {
		buf := make([]byte, aheadSize)
		n, err := r.RawStream.Read(buf)
		if r.ahead = buf[:n]; n == 0 {
			return 0, err
		}
	}
	n := copy(p, r.ahead)
	r.ahead = r.ahead[n:]
	return n, nil
}

func (r readAhead) Write(p []byte) (int, error) { return r.RawStream.Write(p) }
