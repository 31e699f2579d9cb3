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
	backlog chan *Conn
	done    chan struct{} // closed by Close
	once    sync.Once
}

var _ transport.Listener = (*Listener)(nil)

// Addr is where the listener listens.
func (l *Listener) Addr() ma.Multiaddr { return l.addr }

// Accept waits for the next connection.
func (l *Listener) Accept(ctx context.Context) (transport.Conn, error) {
	var err error
	select {
	case <-l.done: // before what is in the backlog
		err = transport.ErrListenerClosed
	default:
		select {
		case c := <-l.backlog:
			return c, nil
		case <-l.done:
			err = transport.ErrListenerClosed
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return nil, &transport.OpError{Op: "accept on", Addr: l.addr, Err: err}
}

// Close stops the listener and resets the connections that nobody has accepted. It may be called twice.
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
