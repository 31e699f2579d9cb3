package lanes

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// stream is a byte stream and how far its ends have agreed on a protocol. It implements muxer.Stream.
type stream struct {
	muxer.RawStream

	protocol atomic.Pointer[string] // nil until it is agreed on

	writing sync.Mutex             // held while something is written
	pending atomic.Pointer[[]byte] // what we say of the protocol: it goes ahead of the first byte that is written

	reading sync.Mutex // guards what follows
	offers  []string   // what the remote was, or is to be, offered and has not answered
	refused error      // why there is no protocol
	ahead   []byte     // bytes that were read together with the remote's proposal
}

// aheadSize is how much is read at once while the remote proposes a protocol.
const aheadSize = 512

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
	st := &stream{RawStream: raw, offers: protocols}
	if len(protocols) == 1 { // what is written first can go with the proposal
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
	s.reading.Lock()
	defer s.reading.Unlock()
	if s.agree() != nil {
		return ""
	}
	return *s.protocol.Load()
}

// agree waits for the remote's choice. Any error is final. reading is held.
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
		_ = s.RawStream.Reset(muxer.CodeIncompatible)
		s.refused = err
		return err
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
	s.reading.Lock()
	s.flush()
	err := s.agree()
	n := copy(p, s.ahead) // what was read together with the remote's proposal
	if s.ahead = s.ahead[n:]; len(s.ahead) == 0 {
		s.ahead = nil
	}
	s.reading.Unlock()
	if n > 0 || err != nil || len(p) == 0 {
		return n, err
	}
	return s.RawStream.Read(p)
}

// Write implements muxer.Stream.
func (s *stream) Write(p []byte) (int, error) {
	if s.protocol.Load() == nil && len(s.offers) > 1 && s.Protocol() == "" {
		return 0, s.refusal()
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	ahead := s.pending.Swap(nil)
	if ahead == nil {
		return s.RawStream.Write(p)
	}
	n, err := s.RawStream.Write(append(*ahead, p...))
	return max(n-len(*ahead), 0), err
}

func (s *stream) refusal() error {
	s.reading.Lock()
	defer s.reading.Unlock()
	return s.refused
}

// CloseWrite implements muxer.Stream. It waits for the remote's choice first: js-libp2p loses what lies between a
// proposal and an end that arrives together with it.
func (s *stream) CloseWrite() error {
	if s.Protocol() == "" {
		return s.refusal()
	}
	return s.RawStream.CloseWrite()
}

// Close implements muxer.Stream.
func (s *stream) Close() error {
	s.flush()
	return s.RawStream.Close()
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
