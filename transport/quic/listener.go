package quic

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	ma "github.com/multiformats/go-multiaddr"
	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ready is how many connections may wait for Accept. More are refused.
const ready = 256

// listener is a transport.Listener.
type listener struct {
	t      *Transport
	socket *socket
	quic   *lib.EarlyListener
	addr   ma.Multiaddr
	ask    transport.Admit // may be nil
	log    *slog.Logger

	accepted chan admitted
	closing  chan struct{} // closed by Close
	broken   chan struct{} // closed when quic-go accepts no more
	err      error         // why, once broken is closed
	wg       sync.WaitGroup
	attempts sync.WaitGroup // handshakes in flight
	once     sync.Once

	mu      sync.Mutex // guards what follows
	doubt   doubt
	refused refusals
}

// admitted is a connection whose handshake is complete, with its ticket.
type admitted struct {
	conn   *Conn
	ticket transport.Ticket
}

// discard closes a connection that nobody accepts.
func (a admitted) discard(code muxer.Code, reason string) {
	release(a.ticket)
	_ = a.conn.CloseWith(code, reason, 0)
}

func release(t transport.Ticket) {
	if t != nil {
		t.Release()
	}
}

// Listen starts to listen on an IP address and port. It asks admit when the first packet of a connection has come, on
// quic-go's goroutine. The error is a *transport.OpError, or wraps transport.ErrNoTransport.
func (t *Transport) Listen(ctx context.Context, addr ma.Multiaddr, admit transport.Admit) (transport.Listener, error) {
	at, ok := parse(addr)
	switch {
	case !ok:
		err := fmt.Errorf("%w: quic wants /ip4 or /ip6, then /udp/PORT/quic-v1", transport.ErrNoTransport)
		return nil, &transport.OpError{Op: "listen on", Addr: addr, Err: err}
	case at.Host != "":
		return nil, &transport.OpError{Op: "listen on", Addr: addr,
			Err: errors.New("want an IP address, not a host name")}
	case ctx.Err() != nil:
		return nil, transport.NewOpError(ctx, "listen on", addr, ctx.Err())
	}
	s, err := t.bind(at.AddrPort())
	if err != nil {
		return nil, transport.NewOpError(ctx, "listen on", addr, err)
	}
	l, err := t.listen(s, admit)
	if err != nil {
		s.release()
		return nil, transport.NewOpError(ctx, "listen on", addr, err)
	}
	return l, nil
}

// listen makes the listener of a socket, whose hold it takes over.
func (t *Transport) listen(s *socket, admit transport.Admit) (*listener, error) {
	l := &listener{
		t: t, socket: s, addr: multiaddr(s.udp.LocalAddr()), ask: admit, log: t.log, doubt: newDoubt(t.cfg.Unverified),
		refused:  refusals{},
		accepted: make(chan admitted, ready), closing: make(chan struct{}), broken: make(chan struct{}),
	}
	if !s.listener.CompareAndSwap(nil, l) { // two calls at the same moment
		return nil, errors.New("there is a listener already")
	}
	var err error
	if l.quic, err = s.quic.ListenEarly(t.server, t.conf); err != nil {
		s.listener.Store(nil)
		return nil, err
	}
	l.wg.Go(l.run)
	return l, nil
}

// Addr implements transport.Listener.
func (l *listener) Addr() ma.Multiaddr { return l.addr }

// run takes the connections from quic-go as soon as our part of their handshake is sent.
func (l *listener) run() {
	for {
		q, err := l.quic.Accept(context.Background())
		if err != nil {
			l.err = err
			close(l.broken)
			return
		}
		a, _ := q.Context().Value(attemptKey{}).(*attempt)
		if a == nil { // cannot be: admit has made one
			_ = q.CloseWithError(0, "")
			continue
		}
		l.wg.Go(func() { l.await(q, a) })
	}
}

// await waits for the end of a handshake and hands the connection to Accept.
func (l *listener) await(q *lib.Conn, a *attempt) {
	if !a.attach(q) {
		return
	}
	select {
	case <-q.HandshakeComplete():
	case <-q.Context().Done(): // attempt.gone sees it too
		err := explainDial(context.Cause(q.Context()))
		l.log.Debug("a handshake failed", slog.Any("remote", a.RemoteMultiaddr()), slog.Any("error", err))
		return
	case <-l.closing:
		a.end(muxer.CodeShuttingDown, "")
		return
	}
	key, err := l.t.env.RemoteKey(q.ConnectionState().TLS)
	if err != nil { // cannot be: the handshake has looked at it
		a.end(muxer.CodeAuthFailed, "")
		return
	}
	l.socket.hold()
	c := newConn(l.socket, q, key)
	ticket, ok := a.pass(c)
	if !ok {
		_ = c.Close()
		return
	}
	if next := (admitted{c, ticket}); !l.offer(next) {
		next.discard(muxer.CodeTooManyStarts, "too many connections wait to be accepted")
	}
}

// offer queues a connection for Accept. It reports false if there is no room, or the listener is closed.
func (l *listener) offer(a admitted) bool {
	l.mu.Lock() // Close closes closing under it, and drains accepted afterwards
	defer l.mu.Unlock()
	select {
	case <-l.closing:
		return false
	default:
	}
	select {
	case l.accepted <- a:
		return true
	default:
		return false
	}
}

// Accept implements transport.Listener. The connection is a *handshake.SecuredConn.
func (l *listener) Accept(ctx context.Context) (transport.Conn, transport.Ticket, error) {
	if ctx.Err() != nil {
		return nil, nil, transport.NewOpError(ctx, "accept on", l.addr, ctx.Err())
	}
	if l.isClosed() {
		return nil, nil, l.closedError(nil)
	}
	select {
	case a := <-l.accepted:
		return a.conn.secured(), a.ticket, nil
	case <-l.closing:
		return nil, nil, l.closedError(nil)
	case <-l.broken:
		if l.isClosed() {
			return nil, nil, l.closedError(nil)
		}
		l.socket.broken.Store(true)
		return nil, nil, l.closedError(l.err)
	case <-ctx.Done():
		return nil, nil, transport.NewOpError(ctx, "accept on", l.addr, ctx.Err())
	}
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closing:
		return true
	default:
		return false
	}
}

// closedError is the final error of Accept; broke, if not nil, is what broke the socket.
func (l *listener) closedError(broke error) error {
	err := transport.ErrListenerClosed
	if broke != nil {
		err = fmt.Errorf("%w: the socket broke: %w", err, broke)
	}
	return &transport.OpError{Op: "accept on", Addr: l.addr, Err: err}
}

// Close implements transport.Listener. It ends the handshakes in flight and waits for them, and closes the connections
// that nobody has accepted.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		close(l.closing)
		l.mu.Unlock()
		_ = l.quic.Close()
		l.wg.Wait()
		l.attempts.Wait()
		for len(l.accepted) > 0 { // nobody sends any more; an Accept may still receive
			select {
			case a := <-l.accepted:
				a.discard(muxer.CodeShuttingDown, "")
			default:
			}
		}
		l.socket.listener.Store(nil)
		l.socket.release()
	})
	return nil
}

// remoteIP is the IP of a UDP address, IPv4-mapped ones as IPv4.
func remoteIP(a net.Addr) netip.Addr { return transport.AddrPortOf(a).Addr() }
