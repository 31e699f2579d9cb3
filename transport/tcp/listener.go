package tcp

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// listener is a transport.Listener. It owns no goroutine.
type listener struct {
	tcp  *net.TCPListener
	addr ma.Multiaddr
	at   netip.AddrPort // that is addr
}

func (l *listener) Addr() ma.Multiaddr { return l.addr }

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Accept returns the next connection. Errors that pass are, for instance, EMFILE (no file descriptor left: wait a little before the next
// call); ECONNABORTED never shows, the net package accepts again.
func (l *listener) Accept(ctx context.Context) (transport.Conn, error) {
	if ctx.Err() != nil {
		return nil, transport.NewOpError(ctx, "accept on", l.addr, ctx.Err())
	}
	// The end of ctx wakes AcceptTCP by a deadline, which is taken away again for the next call.
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.tcp.SetDeadline(longAgo)
		close(done)
	})
	c, err := l.tcp.AcceptTCP()
	if !stop() {
		<-done
		l.tcp.SetDeadline(time.Time{})
	}
	switch {
	case err == nil:
		conn := newConn(c)
		known(&conn.local, c.LocalAddr(), l.at, &l.addr)
		return conn, nil
	case errors.Is(err, net.ErrClosed):
		return nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: transport.ErrListenerClosed}
	}
	return nil, transport.NewOpError(ctx, "accept on", l.addr, err)
}

func (l *listener) Close() error {
	if err := l.tcp.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return transport.NewOpError(context.Background(), "close", l.addr, err)
	}
	return nil
}
