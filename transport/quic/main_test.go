package quic

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

var (
	dialerKey   = handshake.NewIdentity([handshake.SeedSize]byte{1})
	listenerKey = handshake.NewIdentity([handshake.SeedSize]byte{2})
)

func publicOf(id handshake.Identity) handshake.PublicKey {
	k, err := id.PublicKey(context.Background())
	if err != nil {
		panic(err)
	}
	return k
}

func newTransport(t testing.TB, cfg Config, id handshake.Identity) *Transport {
	t.Helper()
	tr, err := New(cfg, Env{Identity: id, TLS: tls.New(tls.Config{}), RemoteKey: tls.RemoteKey,
		Resolver: transporttest.Names{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	return tr
}

// pair makes a connection over loopback: the dialing end, and the accepted one.
func pair(t testing.TB, cfg Config) (*Conn, *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	l, err := newTransport(t, cfg, listenerKey).Listen(ctx, transporttest.Address(t, "/ip4/127.0.0.1/udp/0/quic-v1"),
		nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return connect(t, newTransport(t, cfg, dialerKey), l)
}

// connOf is what the transport has made of a connection.
func connOf(c transport.Conn) *Conn { return c.(*handshake.SecuredConn).Conn.(*Conn) }

func connect(t testing.TB, tr *Transport, l transport.Listener) (*Conn, *Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	a, err := tr.Dial(ctx, l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, _, err := l.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return connOf(a), connOf(b)
}
