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

// listener is a transport.SecuringListener.
type listener struct {
	t      *Transport
	socket *socket
	quic   *lib.EarlyListener
	addr   ma.Multiaddr
	log    *slog.Logger

	accepted chan *Conn
	closing  chan struct{} // closed by Close
	broken   chan struct{} // closed when quic-go accepts no more
	err      error         // why, once broken is closed
	wg       sync.WaitGroup
	attempts sync.WaitGroup // handshakes in flight
	once     sync.Once

	mu    sync.Mutex // guards what follows
	guard func(transport.Conn) (transport.Pass, error)
	doubt doubt
}

var _ transport.SecuringListener = (*listener)(nil)

// Listen starts to listen on an IP address and port. Its error is a *transport.OpError, or wraps transport.ErrNoTransport. The Listener is a
// transport.SecuringListener.
func (t *Transport) Listen(ctx context.Context, addr ma.Multiaddr) (transport.Listener, error) {
	at, ok := parse(addr)
	switch {
	case !ok:
		return nil, &transport.OpError{Op: "listen on", Addr: addr, Err: fmt.Errorf("%w: quic wants /ip4 or /ip6, then /udp/PORT/quic-v1", transport.ErrNoTransport)}
	case at.Host != "":
		return nil, &transport.OpError{Op: "listen on", Addr: addr, Err: errors.New("want an IP address, not a host name")}
	case ctx.Err() != nil:
		return nil, transport.NewOpError(ctx, "listen on", addr, ctx.Err())
	}
	s, err := t.bind(at.AddrPort())
	if err != nil {
		return nil, transport.NewOpError(ctx, "listen on", addr, err)
	}
	l, err := t.listen(s)
	if err != nil {
		s.release()
		return nil, transport.NewOpError(ctx, "listen on", addr, err)
	}
	return l, nil
}

// listen makes the listener of a socket, whose hold it takes over.
func (t *Transport) listen(s *socket) (*listener, error) {
	l := &listener{t: t, socket: s, addr: multiaddr(s.udp.LocalAddr()), log: t.log,
		accepted: make(chan *Conn, ready), closing: make(chan struct{}), broken: make(chan struct{}), doubt: newDoubt(t.cfg.Unverified)}
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

// Guard implements transport.SecuringListener.
func (l *listener) Guard(guard func(transport.Conn) (transport.Pass, error)) {
	l.mu.Lock()
	l.guard = guard
	l.mu.Unlock()
}

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

// await waits for the end of a handshake, and hands the connection to Accept.
func (l *listener) await(q *lib.Conn, a *attempt) {
	if !a.attach(q) {
		return
	}
	select {
	case <-q.HandshakeComplete():
	case <-q.Context().Done():
		l.log.Debug("a handshake failed", slog.Any("remote", a.RemoteMultiaddr()), slog.Any("error", explainDial(context.Cause(q.Context()))))
		return // attempt.gone sees it too
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
	c := newConn(l.socket, q, key, a)
	if !a.pass(c) {
		_ = c.Close()
		return
	}
	l.mu.Lock()
	select {
	case <-l.closing: // Close drains accepted, and what comes later must not get there
	default:
		select {
		case l.accepted <- c:
			l.mu.Unlock()
			return
		default:
		}
	}
	l.mu.Unlock()
	a.release()
	c.Goodbye(muxer.CodeTooManyStarts, "too many connections wait to be accepted", 0)
	_ = c.Close()
}

// Accept implements transport.Listener. The connection is a *Conn.
func (l *listener) Accept(ctx context.Context) (transport.Conn, error) {
	if ctx.Err() != nil {
		return nil, transport.NewOpError(ctx, "accept on", l.addr, ctx.Err())
	}
	select {
	case <-l.closing:
		return nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: transport.ErrListenerClosed}
	default:
	}
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closing:
		return nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: transport.ErrListenerClosed}
	case <-l.broken:
		select {
		case <-l.closing:
			return nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: transport.ErrListenerClosed}
		default:
		}
		l.socket.broken.Store(true)
		return nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: fmt.Errorf("%w: the socket broke: %w", transport.ErrListenerClosed, l.err)}
	case <-ctx.Done():
		return nil, transport.NewOpError(ctx, "accept on", l.addr, ctx.Err())
	}
}

// Close implements transport.Listener. It ends the handshakes in flight and waits for them, and closes the connections that nobody has accepted.
func (l *listener) Close() error {
	l.once.Do(func() {
		l.mu.Lock()
		close(l.closing)
		l.mu.Unlock()
		_ = l.quic.Close()
		l.wg.Wait()
		l.attempts.Wait()
		for {
			select {
			case c := <-l.accepted:
				c.attempt.release()
				_ = c.Close()
				continue
			default:
			}
			break
		}
		l.socket.listener.Store(nil)
		l.socket.release()
	})
	return nil
}

// remoteIP is the IP of a UDP address, IPv4-mapped ones as IPv4.
func remoteIP(a net.Addr) netip.Addr { return transport.AddrPortOf(a).Addr() }
