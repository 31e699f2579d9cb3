package libp2p

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
)

// firstStream is how long the listener waits for the dialer's first stream before it asks the dialer to identify
// itself. Switchyard and go-libp2p open theirs together with the end of the security's handshake.
const firstStream = 250 * time.Millisecond

// infoExchange learns what the remote is, at the beginning of a session.
//
// A Switchyard dialer opens a hello stream at once, and nothing else. If the remote has no hello, the dialer asks it to
// identify itself. The listener waits for the dialer's first stream; unless that is a hello, the listener asks the
// dialer to identify itself. A hello that comes later still counts until the answer shows that the remote has none.
type infoExchange struct {
	a     *handshake.Attempt
	plain bool   // Config.Plain
	seq   uint64 // of a guest's signed peer record; 0 without one

	first sync.Once
	// Of the listener only.
	others chan struct{} // closed when the remote's first stream is not a hello
	hellos chan arrival  // unbuffered: the remote's hello
	taken  atomic.Bool   // the remote has opened a hello
	done   chan struct{} // closed when the exchange is over
}

// arrival is what became of the remote's hello.
type arrival struct {
	hello *helloExchange
	err   error
}

// run learns what the remote is and passes the checkpoint for its info.
func (m *infoExchange) run(ctx context.Context, session *lanes.Session) (*handshake.Link, error) {
	if m.a.Side == muxer.Listener {
		return m.listen(ctx, session)
	}
	if m.plain {
		who, err := identify(ctx, session)
		return m.guest(session, who, err)
	}
	g, err := openHello(ctx, session, ownHello(m.a))
	if errors.Is(err, errNoHello) {
		who, err := identify(ctx, session)
		return m.guest(session, who, err)
	}
	return m.ownLink(ctx, session, arrival{g, err})
}

// listen waits for the remote's first stream.
func (m *infoExchange) listen(ctx context.Context, session *lanes.Session) (*handshake.Link, error) {
	t := time.NewTimer(firstStream)
	defer t.Stop()
	select {
	case h := <-m.hellos:
		return m.ownLink(ctx, session, h)
	case <-m.others:
	case <-t.C:
	case <-session.Over():
		return nil, infoError("hello", session.Why(io.EOF))
	case <-ctx.Done():
		return nil, infoError("hello", ctx.Err())
	}
	type answer struct {
		message *message
		err     error
	}
	ask, cancel := context.WithCancel(ctx)
	answers := make(chan answer, 1)
	go func() {
		who, err := identify(ask, session)
		answers <- answer{who, err}
	}()
	select {
	case h := <-m.hellos:
		cancel()
		<-answers
		return m.ownLink(ctx, session, h)
	case who := <-answers:
		cancel()
		if who.err != nil || !slices.Contains(who.message.protocols, protocolHello) {
			return m.guest(session, who.message, who.err)
		}
	}
	select { // a Switchyard node on a slow path
	case h := <-m.hellos:
		return m.ownLink(ctx, session, h)
	case <-session.Over():
		return nil, infoError("hello", session.Why(errors.New("the remote sends no more")))
	case <-ctx.Done():
		return nil, infoError("hello", ctx.Err())
	}
}

// serveHello reads the remote's hello and keeps the stream until both ends have said all.
func (m *infoExchange) serveHello(ctx context.Context, st muxer.Stream) {
	if m.plain || m.taken.Swap(true) {
		_ = st.Reset(muxer.CodeProtocolError)
		return
	}
	g := newHelloExchange(st, nil)
	g.over = make(chan struct{})
	err := readFrame(g.in, g.hello, maxHello)
	if err == nil {
		g.held = frame(nil, ownHello(m.a))
	}
	select {
	case m.hellos <- arrival{g, err}:
	case <-m.done: // too late
		_ = st.Reset(muxer.CodeProtocolError)
		return
	case <-ctx.Done():
		return
	}
	if err != nil {
		_ = st.Reset(muxer.CodeProtocolError)
		return
	}
	hold := time.NewTimer(holdHello)
	defer hold.Stop()
	for {
		select {
		case <-hold.C:
			_ = g.write(nil) // its reader hears of an error
		case <-g.over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// ownLink makes a link to a Switchyard node.
func (m *infoExchange) ownLink(ctx context.Context, session *lanes.Session, h arrival) (*handshake.Link, error) {
	if h.err != nil {
		return nil, infoError("hello", session.Why(h.err))
	}
	g := h.hello
	g.session = session
	link := &handshake.Link{Session: session, Confirm: g.agree}
	both, err := helloInfo(g.hello, m.a, &link.Remote)
	if err == nil {
		err = m.a.CheckInfo(&link.Remote)
	}
	var refusal *handshake.Refusal
	if errors.As(err, &refusal) {
		g.refuse(ctx, refusal)
	}
	if err == nil && g.theirs != nil {
		err = g.theirs
	}
	if err == nil {
		err = session.SetChannels(both)
	}
	if err != nil {
		return nil, err
	}
	session.Accepted()
	g.hello = nil // the link has it
	return link, nil
}

// guest makes a link to a libp2p node without hello, from its answer to identify. A node that does not know identify
// either says nothing of itself: go-libp2p dials back so, for AutoNAT.
func (m *infoExchange) guest(session *lanes.Session, who *message, err error) (*handshake.Link, error) {
	if noIdentify(session, err) {
		who, err = new(message), nil
	}
	if err != nil {
		return nil, infoError("identify", session.Why(err))
	}
	info, err := who.nodeInfo(m.a.RemoteKey)
	if err != nil {
		return nil, err
	}
	m.seq = who.seq
	both, singly := common(m.a.Channels, info)
	for _, c := range both {
		info.Channels = append(info.Channels, c.ID)
	}
	if err := m.a.CheckInfo(info); err != nil {
		return nil, err
	}
	if err := session.SetChannels(both, singly...); err != nil {
		return nil, err
	}
	return &handshake.Link{Session: session, Remote: *info}, nil
}

// noIdentify reports whether a remote does not know identify. go-libp2p resets the stream behind its "na", and the
// reset may overtake it.
func noIdentify(session *lanes.Session, err error) bool {
	if errors.Is(err, muxer.ErrUnknownProtocol) {
		return true
	}
	reset, ok := errors.AsType[*muxer.ResetError](err)
	if !ok || !reset.Remote {
		return false
	}
	select {
	case <-session.Over():
		return false
	default:
		return true
	}
}

// infoError wraps an error of the exchange in a StageError.
func infoError(what string, err error) error {
	code := handshake.CodeOf(err)
	var ce *muxer.CloseError
	var re *muxer.ResetError
	switch {
	case errors.Is(err, errMessage), errors.Is(err, bufio.ErrBufferFull):
		code = muxer.CodeProtocolError
	case errors.As(err, &ce):
		code = ce.Code
	case errors.As(err, &re) && re.Remote: // of the stream
		if code = re.Code.Code(); code == muxer.CodeUnknown {
			code = muxer.CodeRemoteClosed
		}
	}
	return handshake.Fail(handshake.StageInfo, code, fmt.Errorf("%s: %w", what, err))
}
