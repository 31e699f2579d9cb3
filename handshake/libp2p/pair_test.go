package libp2p

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
)

// plain is a security whose ends tell each other their keys, and believe it. early says which muxer they settle on.
type plain struct{ early string }

type plainConn struct {
	net.Conn
	muxer string
}

func (c *plainConn) Muxer() string { return c.muxer }

func (plain) Name() string                             { return "plain" }
func (plain) Protocol() string                         { return "/plain" }
func (plain) Keep(context.Context, handshake.Identity) {}

func (p plain) Secure(ctx context.Context, conn net.Conn, s handshake.Securing) (handshake.SecureConn, error) {
	own, err := s.Identity.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(own.Raw()); err != nil {
		return nil, err
	}
	theirs := make([]byte, handshake.Ed25519KeySize)
	if _, err := io.ReadFull(conn, theirs); err != nil {
		return nil, err
	}
	key, err := handshake.NewEd25519Key(theirs)
	if err != nil {
		return nil, err
	}
	return &plainConn{conn, p.early}, s.CheckKey(key)
}

// end is one end of an attempt.
type end struct {
	key      *handshake.NodeKey
	security handshake.Security
	channels []muxer.Channel
	local    handshake.NodeInfo
	gate     handshake.Gate
}

func (e end) upgrader(t *testing.T) *handshake.Upgrader {
	t.Helper()
	mux, err := yamux.New(yamux.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := New(Config{Identity: e.key, Securities: []handshake.Security{e.security},
		Muxers: []muxer.StreamMuxer{mux}})
	if err != nil {
		t.Fatal(err)
	}
	e.local.ID = e.key.ID()
	var gates []handshake.Gate
	if e.gate != nil {
		gates = append(gates, e.gate)
	}
	u, err := handshake.NewUpgrader(handshake.Config{
		Gates: gates, Wires: []handshake.Wire{w}, Local: func(transport.Conn) handshake.NodeInfo { return e.local },
		Channels: func() []muxer.Channel {
			return e.channels
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// rawPair is a connection in memory, the dialer's end first.
func rawPair() (*handshaketest.Conn, *handshaketest.Conn) {
	return handshaketest.Pipe("/ip4/10.0.0.1/tcp/1000", "/ip4/10.0.0.2/tcp/2000")
}

// address is where the listener of rawPair is, and who.
func address(t *testing.T, key *handshake.NodeKey) transport.Address {
	t.Helper()
	addr, err := transport.ParseAddress("/ip4/10.0.0.2/tcp/2000/p2p/" + key.Public().PeerID())
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

// shake does both ends' handshakes.
func shake(t *testing.T, dialer, listener end) (dl, ll *handshake.Link, derr, lerr error) {
	t.Helper()
	d, l := rawPair()
	u := listener.upgrader(t)
	ticket, err := u.Admit(l)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ll, lerr = u.Inbound(t.Context(), l, ticket)
	}()
	dl, derr = dialer.upgrader(t).Outbound(t.Context(), d, address(t, listener.key), time.Millisecond)
	<-done
	return
}

// run runs a link until the test ends.
func run(t *testing.T, l *handshake.Link, h muxer.Handler) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.Session.Run(context.Background(), h)
	}()
	t.Cleanup(func() {
		l.Session.Close(muxer.CodeBanned, "")
		<-done
	})
}
