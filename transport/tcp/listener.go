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
	tcp   *net.TCPListener
	admit transport.Admit
	addr  ma.Multiaddr
	at    netip.AddrPort // the IP and port of addr
}

// Addr implements transport.Listener.
func (l *listener) Addr() ma.Multiaddr { return l.addr }

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Accept implements transport.Listener. Errors that pass are, for instance, EMFILE (no file descriptor is left: wait a
// little before the next call). ECONNABORTED never shows: package net accepts again.
func (l *listener) Accept(ctx context.Context) (transport.Conn, transport.Ticket, error) {
	if ctx.Err() != nil {
		return nil, nil, transport.NewOpError(ctx, "accept on", l.addr, ctx.Err())
	}
	// The end of ctx wakes AcceptTCP by a deadline, which is removed again for the next call.
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.tcp.SetDeadline(longAgo)
		close(done)
	})
	conn, ticket, err := l.next()
	if !stop() {
		<-done
		l.tcp.SetDeadline(time.Time{})
	}
	switch {
	case err == nil:
		return conn, ticket, nil
	case errors.Is(err, net.ErrClosed):
		return nil, nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: transport.ErrListenerClosed}
	}
	return nil, nil, transport.NewOpError(ctx, "accept on", l.addr, err)
}

// next accepts until a connection is admitted.
func (l *listener) next() (*Conn, transport.Ticket, error) {
	for {
		c, err := l.tcp.AcceptTCP()
		if err != nil {
			return nil, nil, err
		}
		conn := newConn(c)
		known(&conn.local, c.LocalAddr(), l.at, &l.addr)
		if l.admit == nil {
			return conn, nil, nil
		}
		ticket, err := l.admit(conn)
		if err == nil {
			return conn, ticket, nil
		}
		_ = conn.Close()
	}
}

// Close implements transport.Listener.
func (l *listener) Close() error {
	if err := l.tcp.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return transport.NewOpError(context.Background(), "close", l.addr, err)
	}
	return nil
}
