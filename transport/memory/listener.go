package memory

import (
	"context"
	"sync"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Listener accepts connections in memory. It owns no goroutine.
type Listener struct {
	host    *Transport
	at      endpoint
	addr    ma.Multiaddr
	admit   transport.Admit
	backlog chan *Conn
	done    chan struct{} // closed by Close
	once    sync.Once
}

var _ transport.Listener = (*Listener)(nil)

// Addr returns where the listener listens.
func (l *Listener) Addr() ma.Multiaddr { return l.addr }

// Accept waits for the next connection that is admitted.
func (l *Listener) Accept(ctx context.Context) (transport.Conn, transport.Ticket, error) {
	for {
		c, err := l.next(ctx)
		if err != nil {
			return nil, nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: err}
		}
		if l.admit == nil {
			return c, nil, nil
		}
		ticket, err := l.admit(c)
		if err == nil {
			return c, ticket, nil
		}
		_ = c.Close()
	}
}

// next takes a connection out of the backlog.
func (l *Listener) next(ctx context.Context) (*Conn, error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	select {
	case <-l.done: // before what is in the backlog
		return nil, transport.ErrListenerClosed
	default:
	}
	select {
	case c := <-l.backlog:
		return c, nil
	case <-l.done:
		return nil, transport.ErrListenerClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Close stops the listener and resets the connections that were not accepted. It may be called twice.
func (l *Listener) Close() error {
	l.once.Do(func() {
		n := l.host.net
		n.mu.Lock()
		delete(n.listeners, l.at)
		n.mu.Unlock()
		close(l.done)
		l.drain()
	})
	return nil
}

// drainIfClosed is for a dial that has queued a connection while Close went on.
func (l *Listener) drainIfClosed() {
	select {
	case <-l.done:
		l.drain()
	default:
	}
}

func (l *Listener) drain() {
	for {
		select {
		case c := <-l.backlog:
			c.link.abandon()
		default:
			return
		}
	}
}
