package hosts

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	resetsMe  = "/resets-me/1.0.0"  // resets its stream behind the first byte
	hearsIt   = "/hears-it/1.0.0"   // tells what its second read returns
	readsAll  = "/reads-all/1.0.0"  // tells all that it reads
	talksOn   = "/talks-on/1.0.0"   // writes until it fails, and tells why
	resetCode = 0xdead_beef         // of nobody
	matched   = "/matched/7/really" // served by /matched/
)

// heard is what a handler tells.
type heard struct {
	text string
	err  error
}

// The ends of streams mean the same to both: codes of resets cross both ways, streams that are written and closed at
// once arrive whole, CloseRead stops a writer over QUIC and not over yamux, a lost connection is no reset, and handlers
// by match function serve.
func TestStreamEnds(t *testing.T) {
	for _, s := range gopeer.Stacks {
		t.Run(s.Name, func(t *testing.T) {
			p := newPair(t, s, node.Config{})
			p.weDial = true
			ours, theirs := make(chan heard, 8), make(chan heard, 8)
			p.handleEnds(t, ours, theirs)
			p.connect(t)
			t.Run("resets", func(t *testing.T) { p.resets(t, ours, theirs) })
			t.Run("written and closed", func(t *testing.T) { p.writtenAndClosed(t, ours, theirs) })
			t.Run("close read", func(t *testing.T) { p.closeRead(t, ours, theirs) })
			t.Run("match", func(t *testing.T) { p.matches(t) })
			t.Run("lost", func(t *testing.T) { p.lost(t, ours, theirs) })
		})
	}
}

// handleEnds registers the same handlers at both ends.
func (p *pair) handleEnds(t *testing.T, ours, theirs chan heard) {
	both := map[string]func(s io.ReadWriter, reset func(), to chan heard){
		resetsMe: func(s io.ReadWriter, reset func(), _ chan heard) {
			_, _ = io.ReadFull(s, make([]byte, 1))
			reset()
		},
		hearsIt: func(s io.ReadWriter, _ func(), to chan heard) {
			_, _ = io.ReadFull(s, make([]byte, 1))
			_, _ = s.Write([]byte("y"))
			_, err := s.Read(make([]byte, 1))
			to <- heard{err: err}
		},
		readsAll: func(s io.ReadWriter, _ func(), to chan heard) {
			b, err := io.ReadAll(s)
			to <- heard{string(b), err}
		},
		talksOn: func(s io.ReadWriter, _ func(), to chan heard) {
			_, _ = io.ReadFull(s, make([]byte, 1))
			var err error
			for n := 0; err == nil && n < 128<<10; n += 1024 { // less than a window of yamux
				_, err = s.Write(make([]byte, 1024))
			}
			for err == nil { // its end: the remote closes
				_, err = s.Read(make([]byte, 1))
			}
			to <- heard{err: err}
		},
	}
	for name, f := range both {
		if err := p.ours.Host.HandleStream(name, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
			f(s, func() { _ = s.ResetWith(resetCode) }, ours)
		}); err != nil {
			t.Fatal(err)
		}
		p.theirs.SetStreamHandler(protocol.ID(name), func(s network.Stream) {
			defer s.Close()
			f(s, func() { _ = s.ResetWithError(resetCode) }, theirs)
		})
	}
	prefix := func(p string) bool { return strings.HasPrefix(p, "/matched/") }
	if err := p.ours.Host.HandleStream("/matched", func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
		_, _ = io.WriteString(s, s.Protocol())
	}, host.MatchStreams(prefix)); err != nil {
		t.Fatal(err)
	}
	p.theirs.SetStreamHandlerMatch("/matched", func(id protocol.ID) bool { return prefix(string(id)) },
		func(s network.Stream) {
			defer s.Close()
			_, _ = io.WriteString(s, string(s.Protocol()))
		})
}

// oursIs checks an error of one of our streams.
func oursIs(t *testing.T, what string, err error, code muxer.ResetCode, remote bool) {
	t.Helper()
	if e, ok := errors.AsType[*muxer.ResetError](err); !ok || e.Code != code || e.Remote != remote {
		t.Errorf("%s: %v, want code 0x%x, remote: %v", what, err, uint32(code), remote)
	}
}

// theirsIs checks an error of one of go-libp2p's streams.
func theirsIs(t *testing.T, what string, err error, code network.StreamErrorCode, remote bool) {
	t.Helper()
	if e, ok := errors.AsType[*network.StreamError](err); !ok || e.ErrorCode != code || e.Remote != remote {
		t.Errorf("%s: %v, want code 0x%x, remote: %v", what, err, uint32(code), remote)
	}
}

// begin opens a stream at either end and writes a byte. For hearsIt it waits until the handler has that: a reset would
// overtake it.
func (p *pair) begin(t *testing.T, fromUs bool, protocol string) stream {
	t.Helper()
	s := p.mustOpen(t, fromUs, protocol)
	if _, err := s.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if protocol == hearsIt {
		if _, err := io.ReadFull(s, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (p *pair) resets(t *testing.T, ours, theirs chan heard) {
	s := p.begin(t, true, resetsMe)
	_, err := s.Read(make([]byte, 1))
	oursIs(t, "they reset our stream", err, resetCode, true)
	_ = s.Close()
	s = p.begin(t, false, resetsMe)
	_, err = s.Read(make([]byte, 1))
	theirsIs(t, "we reset their stream", err, resetCode, true)
	_ = s.Close()

	for _, code := range []uint32{0, 0x1005, resetCode} {
		mine := p.begin(t, true, hearsIt).(muxer.Stream)
		_ = mine.ResetWith(muxer.ResetCode(code))
		theirsIs(t, "our reset", (<-theirs).err, network.StreamErrorCode(code), true)
		_, err := mine.Read(make([]byte, 1))
		oursIs(t, "a read behind our reset", err, muxer.ResetCode(code), false)
		their := p.begin(t, false, hearsIt).(network.Stream)
		_ = their.ResetWithError(network.StreamErrorCode(code))
		oursIs(t, "their reset", (<-ours).err, muxer.ResetCode(code), true)
	}
	mine := p.begin(t, true, hearsIt).(muxer.Stream)
	_ = mine.Reset(muxer.CodeRequested)
	theirsIs(t, "our reset with a Code", (<-theirs).err, network.StreamErrorCode(muxer.CodeRequested.Reset()), true)
}

// writtenAndClosed opens streams without waiting, writes and closes them.
func (p *pair) writtenAndClosed(t *testing.T, ours, theirs chan heard) {
	for range 50 {
		mine, err := p.ours.Host.OpenStream(p.ctx, p.id(t), "/none", readsAll)
		if err != nil {
			t.Fatal(err)
		}
		_, err = mine.Write([]byte("hello"))
		if err := errors.Join(err, mine.CloseWrite(), mine.Close()); err != nil {
			t.Fatal(err)
		}
		if h := <-theirs; h.text != "hello" || h.err != nil {
			t.Fatalf("they read %q, %v", h.text, h.err)
		}
		their, err := p.theirs.NewStream(p.ctx, p.ours.PeerID(), readsAll)
		if err != nil {
			t.Fatal(err)
		}
		_, err = their.Write([]byte("hello"))
		if err := errors.Join(err, their.CloseWrite(), their.Close()); err != nil {
			t.Fatal(err)
		}
		if h := <-ours; h.text != "hello" || h.err != nil {
			t.Fatalf("we read %q, %v", h.text, h.err)
		}
	}
	bare, err := p.ours.Host.OpenStream(p.ctx, p.id(t), readsAll)
	if err != nil {
		t.Fatal(err)
	}
	_ = bare.Close()
	if h := <-theirs; h.text != "" || h.err != nil {
		t.Errorf("a stream that is only closed: %q, %v", h.text, h.err)
	}
}

func (p *pair) closeRead(t *testing.T, ours, theirs chan heard) {
	quic := p.stack.Transport == "quic"
	mine := p.mustOpen(t, true, talksOn).(muxer.Stream)
	_ = mine.CloseRead()
	_, _ = mine.Write([]byte("x"))
	_ = mine.CloseWrite()
	if h := <-theirs; quic {
		theirsIs(t, "their writer", h.err, 0, true)
	} else if h.err != io.EOF {
		t.Errorf("their writer: %v", h.err)
	}
	_ = mine.Close()
	their := p.mustOpen(t, false, talksOn).(network.Stream)
	_ = their.CloseRead()
	_, _ = their.Write([]byte("x"))
	_ = their.CloseWrite()
	if h := <-ours; quic {
		oursIs(t, "our writer", h.err, 0, true)
	} else if h.err != io.EOF {
		t.Errorf("our writer: %v", h.err)
	}
	_ = their.Close()
}

func (p *pair) matches(t *testing.T) {
	for _, us := range []bool{true, false} {
		s := p.mustOpen(t, us, matched)
		if b, err := io.ReadAll(s); string(b) != matched || err != nil {
			t.Errorf("%s: %q, %v", opener(us), b, err)
		}
		_ = s.Close()
	}
}

// lost ends the connection under streams of both.
func (p *pair) lost(t *testing.T, ours, theirs chan heard) {
	mine := p.begin(t, true, hearsIt)
	_ = p.begin(t, false, hearsIt)
	_ = p.theirs.Network().ClosePeer(p.ours.PeerID())
	_, err := mine.Read(make([]byte, 1))
	for what, err := range map[string]error{"our stream": err, "theirs": (<-ours).err} {
		if _, ok := errors.AsType[*muxer.ResetError](err); ok || err == nil || err == io.EOF {
			t.Errorf("%s, when the connection is lost: %v", what, err)
		}
	}
	<-theirs
}
