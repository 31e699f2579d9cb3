package docs

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// counted is TCP that counts the bytes of all its connections.
type counted struct {
	*tcp.Transport
	bytes atomic.Int64
}

func newCounted(cfg tcp.Config) (*counted, error) { return &counted{Transport: tcp.New(cfg)}, nil }

// Name implements transport.Transport.
func (*counted) Name() string { return "counted" }

// Dial implements transport.Transport.
func (c *counted) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	conn, err := c.Transport.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	return &countedConn{conn.(transport.ByteConn), c}, nil
}

// Listen implements transport.Transport. The listener beneath asks admit about each connection.
func (c *counted) Listen(ctx context.Context, addr ma.Multiaddr, admit transport.Admit) (transport.Listener, error) {
	l, err := c.Transport.Listen(ctx, addr, admit)
	if err != nil {
		return nil, err
	}
	return &countedListener{l, c}, nil
}

type countedListener struct {
	transport.Listener
	to *counted
}

// Accept implements transport.Listener.
func (l *countedListener) Accept(ctx context.Context) (transport.Conn, transport.Ticket, error) {
	conn, ticket, err := l.Listener.Accept(ctx)
	if err != nil {
		return nil, nil, err
	}
	return &countedConn{conn.(transport.ByteConn), l.to}, ticket, nil
}

type countedConn struct {
	transport.ByteConn
	to *counted
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.ByteConn.Read(p)
	c.to.bytes.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(p []byte) (int, error) {
	n, err := c.ByteConn.Write(p)
	c.to.bytes.Add(int64(n))
	return n, err
}

// CloseWrite ends our side alone; the suite asks for it.
func (c *countedConn) CloseWrite() error {
	return c.ByteConn.(interface{ CloseWrite() error }).CloseWrite()
}

// The transport does what each must.
func TestCounted(t *testing.T) {
	transporttest.Run(t, func(t *testing.T) transporttest.Env {
		tr, err := newCounted(tcp.Config{Resolver: transporttest.Names{}})
		if err != nil {
			t.Fatal(err)
		}
		return transporttest.Env{
			Dialer: tr, Listener: tr,
			Listen:  transporttest.Address(t, "/ip4/127.0.0.1/tcp/0"),
			Foreign: transporttest.Address(t, "/ip4/127.0.0.1/udp/4001/quic-v1"),
			Hangs:   transporttest.Address(t, "/dns/no-answer.example/tcp/1"),
		}
	})
}

// Two nodes link over it.
func Example_transport() {
	ctx := context.Background()
	a := must(switchyard.New(ctx, switchyard.Listen("/ip4/127.0.0.1/tcp/0")))
	defer a.Close()
	go func() { _ = a.Run(ctx) }()
	check(a.Host().WaitListening(ctx))

	tr := must(newCounted(tcp.Config{}))
	b := must(switchyard.New(ctx, switchyard.Listen(), switchyard.Transports(tr)))
	defer b.Close()
	go func() { _ = b.Run(ctx) }()
	check(b.Host().WaitListening(ctx))
	must(b.Host().Dial(ctx, a.Addresses()[0]))
	fmt.Println("counted bytes:", tr.bytes.Load() > 0)
	// Output: counted bytes: true
}
