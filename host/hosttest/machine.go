package hosttest

import (
	"context"
	"os"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// Faults let a node's transport fail. A nil function never does.
type Faults struct {
	// Accept is asked before each connection is accepted; an error is what Accept returns instead. It is called on the
	// accept loop's goroutine.
	Accept func() error
	// Dial is asked before each dial; an error is what the dial returns. It is called concurrently.
	Dial func(ma.Multiaddr) error
}

// DialAttempt is one dial that a node's transport was asked for.
type DialAttempt struct {
	At   time.Time
	Addr ma.Multiaddr
}

// machine is a node's transport: memory's, with faults, a record of dials, and connections that a crash can silence.
type machine struct {
	*memory.Transport
	node *Node
}

// Dial implements transport.Transport.
func (m *machine) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	m.node.mu.Lock()
	m.node.dials = append(m.node.dials, DialAttempt{time.Now(), addr})
	m.node.mu.Unlock()
	if f := m.node.Faults.Dial; f != nil {
		if err := f(addr); err != nil {
			return nil, transport.NewOpError(ctx, "dial", addr, err)
		}
	}
	c, err := m.Transport.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return m.node.hold(c), nil
}

// Listen implements transport.Transport.
func (m *machine) Listen(ctx context.Context, addr ma.Multiaddr, admit transport.Admit) (transport.Listener, error) {
	l, err := m.Transport.Listen(ctx, addr, admit)
	if err != nil {
		return nil, err
	}
	return &listener{l, m.node}, nil
}

type listener struct {
	transport.Listener
	node *Node
}

func (l *listener) Accept(ctx context.Context) (transport.Conn, transport.Ticket, error) {
	if f := l.node.Faults.Accept; f != nil {
		if err := f(); err != nil {
			return nil, nil, err
		}
	}
	c, ticket, err := l.Listener.Accept(ctx)
	if err != nil {
		return nil, nil, err
	}
	return l.node.hold(c), ticket, nil
}

// conn is a node's end of a connection.
type conn struct {
	*memory.Conn
	node *Node
}

func (n *Node) hold(c transport.Conn) transport.Conn {
	m, ok := c.(*memory.Conn)
	if !ok {
		return c
	}
	held := &conn{m, n}
	n.mu.Lock()
	n.conns[held] = struct{}{}
	n.mu.Unlock()
	return held
}

// Close closes the connection; of a crashed node the other end hears nothing.
func (c *conn) Close() error {
	c.node.mu.Lock()
	crashed := c.node.crashed
	delete(c.node.conns, c)
	c.node.mu.Unlock()
	if !crashed {
		return c.Conn.Close()
	}
	return c.SetDeadline(time.Unix(1, 0)) // ends reads and writes at this end
}

// Write writes, unless the node has crashed.
func (c *conn) Write(b []byte) (int, error) {
	c.node.mu.Lock()
	crashed := c.node.crashed
	c.node.mu.Unlock()
	if crashed {
		return 0, os.ErrDeadlineExceeded
	}
	return c.Conn.Write(b)
}

// connectionsTo counts the node's open connections to another one.
func (n *Node) connectionsTo(o *Node) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	count := 0
	for c := range n.conns {
		if c.RemoteIP() == o.ip {
			count++
		}
	}
	return count
}
