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

// firstStream is how long the listening end waits for the dialer's first stream, which tells what it is, before it asks. Our own nodes and go-libp2p open theirs
// together with the end of the security's handshake.
const firstStream = 250 * time.Millisecond

// meeting is how one end learns what the other is, at the beginning of a session.
//
// One of our own nodes, as a dialer, opens nothing but a hello, and opens it at once; where the remote has none, it asks it to identify itself. The listening
// end waits for what the dialer opens first: anything but a hello, or nothing, makes it ask the dialer to identify itself. A hello that comes late still
// counts until the answer shows that the remote has none.
type meeting struct {
	a      *handshake.Attempt
	key    handshake.PublicKey
	server *server
	addr   *lastAddr

	first sync.Once
	// The listening end's only.
	others chan struct{} // closed when the remote's first stream is no hello
	hellos chan arrival  // unbuffered: the remote's hello
	taken  atomic.Bool   // the remote has opened a hello
	done   chan struct{} // closed when the meeting is over
}

// arrival is what became of the remote's hello.
type arrival struct {
	greeting *greeting
	err      error
}

func newMeeting(a *handshake.Attempt, key handshake.PublicKey, s *server, addr *lastAddr) *meeting {
	m := &meeting{a: a, key: key, server: s, addr: addr}
	if a.Side == muxer.Listener {
		m.others, m.hellos, m.done = make(chan struct{}), make(chan arrival), make(chan struct{})
	}
	return m
}

// open makes the session.
func (m *meeting) open(streams muxer.Streams, cfg lanes.Config) *lanes.Session {
	cfg.Serve = m.server.find
	if m.a.Side == muxer.Listener {
		m.server.listens = true
		m.server.meeting.Store(m)
		cfg.Proposed = m.server.proposed
	}
	return lanes.New(streams, cfg)
}

// over ends the meeting: a hello that comes now is too late.
func (m *meeting) over() {
	m.server.meeting.Store(nil)
	if m.done != nil {
		close(m.done)
	}
}

// proposed is told of every protocol that the remote proposes.
func (m *meeting) proposed(protocol string) {
	m.first.Do(func() {
		if protocol != protocolHello {
			close(m.others)
		}
	})
}

// meet finds out what the remote is, and asks the checkpoint about it.
func (m *meeting) meet(ctx context.Context, session *lanes.Session) (*handshake.Link, error) {
	if m.a.Side == muxer.Listener {
		return m.listen(ctx, session)
	}
	g, err := hail(ctx, session, ownHello(m.a, m.addr))
	switch {
	case errors.Is(err, errNoHello):
		who, err := identify(ctx, session)
		return m.guest(session, who, err)
	case err != nil:
		return nil, infoError("hello", err)
	}
	return m.greeted(ctx, session, g)
}

// listen waits for the remote's first stream.
func (m *meeting) listen(ctx context.Context, session *lanes.Session) (*handshake.Link, error) {
	t := time.NewTimer(firstStream)
	defer t.Stop()
	select {
	case h := <-m.hellos:
		return m.arrived(ctx, session, h)
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
		return m.arrived(ctx, session, h)
	case who := <-answers:
		cancel()
		if who.err != nil || !slices.Contains(who.message.protocols, protocolHello) {
			return m.guest(session, who.message, who.err)
		}
	}
	select { // one of our own nodes, on a bad path
	case h := <-m.hellos:
		return m.arrived(ctx, session, h)
	case <-session.Over():
		return nil, infoError("hello", session.Why(errors.New("the remote sends no more")))
	case <-ctx.Done():
		return nil, infoError("hello", ctx.Err())
	}
}

// serveHello reads the remote's hello and keeps the stream until both ends have said all.
func (m *meeting) serveHello(ctx context.Context, st muxer.Stream) {
	if m.taken.Swap(true) {
		_ = st.Reset(muxer.CodeProtocolError)
		return
	}
	g := newGreeting(st, nil)
	g.over = make(chan struct{})
	err := readFrame(g.in, g.hello, maxHello)
	if err == nil {
		g.held = frame(nil, ownHello(m.a, m.addr))
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
			_ = g.flush() // its reader hears of an error
		case <-g.over:
			return
		case <-ctx.Done():
			return
		}
	}
}

func (m *meeting) arrived(ctx context.Context, session *lanes.Session, h arrival) (*handshake.Link, error) {
	if h.err != nil {
		return nil, infoError("hello", session.Why(h.err))
	}
	return m.greeted(ctx, session, h.greeting)
}

// greeted makes a link to one of our own nodes.
func (m *meeting) greeted(ctx context.Context, session *lanes.Session, g *greeting) (*handshake.Link, error) {
	g.session = session
	link := &handshake.Link{Session: session, RemoteKey: m.key, Confirm: g.agree}
	both, err := helloInfo(g.hello, m.key, m.a.IDOf(m.key), m.a.Channels, &link.Remote)
	if err == nil {
		err = m.a.CheckInfo(m.key, &link.Remote)
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

// guest makes a link to an ordinary libp2p node, given its answer to identify.
func (m *meeting) guest(session *lanes.Session, who *message, err error) (*handshake.Link, error) {
	if err != nil {
		return nil, infoError("identify", session.Why(err))
	}
	info, err := who.nodeInfo(m.key)
	if err != nil {
		return nil, err
	}
	both, singly := common(m.a.Channels, info)
	for _, c := range both {
		info.Channels = append(info.Channels, c.ID)
	}
	if err := m.a.CheckInfo(m.key, info); err != nil {
		return nil, err
	}
	if err := session.SetChannels(both, singly...); err != nil {
		return nil, err
	}
	return &handshake.Link{Session: session, RemoteKey: m.key, Remote: *info}, nil
}

// infoError says what failed while the remote told what it is.
func infoError(what string, err error) error {
	code := handshake.CodeOf(err)
	var ce *muxer.CloseError
	switch {
	case errors.Is(err, errMessage), errors.Is(err, bufio.ErrBufferFull):
		code = muxer.CodeProtocolError
	case errors.As(err, &ce):
		code = ce.Code
	}
	return handshake.Fail(handshake.StageInfo, code, fmt.Errorf("%s: %w", what, err))
}
