package libp2p

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
)

const (
	// holdHello is how long the listener holds its hello back for its verdict, so that both leave in one write. A host
	// decides within microseconds; a caller that only does handshakes never calls Confirm.
	holdHello = 25 * time.Millisecond
	// lastWord is how long a refusal waits for the remote to read it before the connection ends.
	lastWord = 250 * time.Millisecond
	// helloBuffer holds most hellos.
	helloBuffer = 1 << 10
)

var helloReaders = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, helloBuffer) }}

// helloExchange is our end of a hello stream. The dialer sends its hello together with the proposal of the protocol,
// the listener its hello together with its verdict, the dialer its verdict: one write each, and one round trip until
// the dialer knows all.
type helloExchange struct {
	stream  muxer.Stream
	in      *bufio.Reader
	session *lanes.Session

	mu   sync.Mutex // guards held and the order of what is written
	held []byte     // our hello, not yet written

	hello  *switchyardpb.Hello // the remote's; nil once it was taken over
	theirs *handshake.Refusal  // the remote's verdict, once heard; nil: it takes the link
	heard  bool
	agreed atomic.Bool
	over   chan struct{} // closed when the stream is not needed any more
}

func newHelloExchange(st muxer.Stream, session *lanes.Session) *helloExchange {
	in := helloReaders.Get().(*bufio.Reader)
	in.Reset(st)
	return &helloExchange{stream: st, in: in, session: session, hello: new(switchyardpb.Hello)}
}

// errNoHello reports a libp2p node that does not know our hello.
var errNoHello = errors.New("the remote has no hello")

// openHello opens the hello stream, sends ours and reads the remote's. The end of ctx ends the connection, and so every
// wait here (handshake.Upgrader).
func openHello(ctx context.Context, session *lanes.Session, own *switchyardpb.Hello) (*helloExchange, error) {
	st, err := session.OpenStream(ctx, protocolHello)
	if err != nil {
		return nil, session.Why(err)
	}
	g := newHelloExchange(st, session)
	if _, err = st.Write(frame(nil, own)); err == nil { // together with the proposal
		_, err = st.Read(nil)
	}
	if err != nil {
		_ = st.Reset(muxer.CodeUnknown)
		_, gone := errors.AsType[*muxer.ResetError](err)
		up := true
		select {
		case <-session.Over():
			up = false
		default:
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, muxer.ErrUnknownProtocol), up && (gone || errors.Is(err, io.EOF)):
			// go-libp2p answers "na", and resets the stream when it finds our hello where it expects another proposal;
			// the reset may overtake the answer.
			return nil, errNoHello
		}
		return nil, session.Why(err)
	}
	if err := readFrame(g.in, g.hello, maxHello); err != nil {
		_ = st.Reset(muxer.CodeProtocolError)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, session.Why(err)
	}
	return g, g.peek()
}

// peek reads the remote's verdict if it has come together with its hello.
func (g *helloExchange) peek() error {
	if g.in.Buffered() == 0 {
		return nil
	}
	b, _ := g.in.Peek(g.in.Buffered())
	if size, n := binary.Uvarint(b); n <= 0 || uint64(len(b)-n) < size {
		return nil // a part of it: Confirm reads the rest
	}
	return g.hear()
}

// hear reads the remote's verdict.
func (g *helloExchange) hear() error {
	if g.heard {
		return nil
	}
	var m switchyardpb.HelloVerdict
	if err := readFrame(g.in, &m, maxVerdict); err != nil {
		return g.session.Why(err)
	}
	g.theirs, g.heard = refusalOf(&m), true
	return nil
}

// write sends our hello unless it is sent, and our verdict behind it; nil for none yet.
func (g *helloExchange) write(verdict *switchyardpb.HelloVerdict) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := g.held
	g.held = nil
	if verdict != nil {
		b = frame(b, verdict)
	}
	if len(b) == 0 {
		return nil
	}
	_, err := g.stream.Write(b)
	return err
}

// refuse tells the remote why we do not take the link, and waits a moment until it has read that and hangs up: the
// connection ends behind it.
func (g *helloExchange) refuse(ctx context.Context, r *handshake.Refusal) {
	if g.theirs != nil { // it does not want us either, and listens no more
		return
	}
	_ = g.stream.SetDeadline(time.Now().Add(lastWord))
	if g.write(ownVerdict(r)) != nil {
		return
	}
	_ = g.stream.CloseWrite()
	t := time.NewTimer(lastWord)
	defer t.Stop()
	select {
	case <-g.session.Over():
	case <-ctx.Done():
	case <-t.C:
	}
}

// agree implements handshake.Link.Confirm.
func (g *helloExchange) agree(ctx context.Context, verdict *handshake.Refusal) error {
	if g.agreed.Swap(true) {
		return errors.New("libp2p: Confirm was called twice")
	}
	defer g.end()
	st := g.stream
	if verdict != nil {
		g.refuse(ctx, verdict)
		return nil
	}
	if !g.heard { // else nothing waits for the remote
		defer context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })()
	}
	err := g.write(ownVerdict(nil))
	if err == nil {
		err = g.hear()
	}
	switch {
	case err == nil && g.theirs != nil:
		return g.theirs
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("the remote's verdict: %w", ctx.Err())
	}
	return fmt.Errorf("the remote's verdict: %w", g.session.Why(err))
}

// end lets go of the stream, and of all that the link, which keeps its Confirm, does not need any more.
func (g *helloExchange) end() {
	_ = g.stream.Close()
	g.in.Reset(nil)
	helloReaders.Put(g.in)
	g.mu.Lock()
	g.held, g.stream, g.in, g.session = nil, nil, nil, nil
	g.mu.Unlock()
	if g.over != nil {
		close(g.over)
	}
}
