package handshake

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// fakeWire is a wire without cryptography. Its dialers begin with first; then each end sends its 32-byte public key and
// reads the other's.
type fakeWire struct {
	name  string
	first byte
	key   *NodeKey
	// before, if set, runs at the start of Upgrade; its error ends it.
	before func(context.Context, *Attempt) error
	// info is what the remote is made to say.
	info func(*NodeInfo)
	none bool // make no session
}

func (w *fakeWire) Name() string                  { return w.name }
func (w *fakeWire) Recognizes(prefix []byte) bool { return len(prefix) > 0 && prefix[0] == w.first }
func (w *fakeWire) CanDial(a transport.Address) bool {
	return a.Wire() == "" || a.Wire() == w.name
}

func (w *fakeWire) Upgrade(ctx context.Context, a *Attempt) (*Link, error) {
	if w.before != nil {
		if err := w.before(ctx, a); err != nil {
			return nil, err
		}
	}
	conn := a.Bytes
	hello := append([]byte{w.first}, w.key.Public().Raw()...)
	if _, err := conn.Write(hello); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(conn, hello); err != nil {
		return nil, err
	}
	key, err := NewEd25519Key(hello[1:])
	if err != nil {
		return nil, err
	}
	if err := a.CheckKey(key); err != nil {
		return nil, err
	}
	a.Done(StageSecurity)
	a.Done(StageMuxer)
	info := a.Local
	info.ID = key.NodeID()
	if w.info != nil {
		w.info(&info)
	}
	if err := a.CheckInfo(&info); err != nil {
		return nil, err
	}
	a.Done(StageInfo)
	if w.none {
		return nil, nil
	}
	return &Link{Session: &fakeSession{conn: a.Conn}, Remote: info}, nil
}

// fakeSession is a session that only closes.
type fakeSession struct {
	muxer.Session
	conn transport.Conn
}

func (s *fakeSession) Close(muxer.Code, string) error { return s.conn.Close() }

// securedConn is a connection of a transport that secures and muxes itself.
type securedConn struct {
	remote ma.Multiaddr
	closed chan struct{}
}

func newSecuredConn() *SecuredConn {
	c := &securedConn{remote: ma.StringCast("/ip4/10.0.0.9/udp/5/quic-v1"), closed: make(chan struct{}, 8)}
	return &SecuredConn{Conn: c, Security: "tls", Muxer: "quic"}
}

func (c *securedConn) LocalMultiaddr() ma.Multiaddr  { return c.remote }
func (c *securedConn) RemoteMultiaddr() ma.Multiaddr { return c.remote }
func (c *securedConn) RemoteIP() netip.Addr          { return netip.AddrFrom4([4]byte{10, 0, 0, 9}) }
func (c *securedConn) Close() error {
	c.closed <- struct{}{}
	return nil
}

// securedWire takes them.
type securedWire struct{ fakeWire }

func (w *securedWire) Recognizes(prefix []byte) bool {
	return len(prefix) == 0 || w.fakeWire.Recognizes(prefix)
}

func (w *securedWire) Upgrade(ctx context.Context, a *Attempt) (*Link, error) {
	if w.before != nil {
		if err := w.before(ctx, a); err != nil {
			return nil, err
		}
	}
	return &Link{Session: &fakeSession{conn: a.Conn}}, nil
}

var (
	ourKey    = NewIdentity([32]byte{1})
	remoteKey = NewIdentity([32]byte{2})
)

func fakeInfo(key *NodeKey) NodeInfo {
	return NodeInfo{ID: key.ID(), Moniker: "m", Network: "n", BlockVersion: BlockVersion, Channels: []byte{1}}
}

func fakeConfig(key *NodeKey, wires ...Wire) Config {
	if len(wires) == 0 {
		wires = []Wire{&fakeWire{name: "comet", first: 0x22, key: key}}
	}
	return Config{
		Wires: wires, Local: func(transport.Conn) NodeInfo { return fakeInfo(key) },
		Channels: func() []muxer.Channel { return []muxer.Channel{{ID: 1}} },
	}
}

func newUpgrader(t *testing.T, cfg Config) *Upgrader {
	t.Helper()
	u, err := NewUpgrader(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func address(t *testing.T, s string) transport.Address {
	t.Helper()
	a, err := transport.ParseAddress(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// pipe returns a connection from an IP (multiaddr form, such as "/ip4/10.0.0.1") to us: the remote's end and ours.
func pipe(ip string) (remote, ours *handshaketest.Conn) {
	if ip == "/memory/1" {
		return handshaketest.Pipe(ip, "/memory/2")
	}
	return handshaketest.Pipe(ip+"/tcp/40000", "/ip4/10.9.9.9/tcp/26656")
}

// talk is a remote that does its half of the fake handshake as key.
func talk(conn io.ReadWriter, key *NodeKey) {
	_, _ = conn.Write(append([]byte{0x22}, key.Public().Raw()...))
}

// inbound admits and upgrades.
func inbound(u *Upgrader, conn transport.Conn) (*Link, error) {
	ticket, err := u.Admit(conn)
	if err != nil {
		return nil, err
	}
	return u.Inbound(context.Background(), conn, ticket)
}

// failure takes an error of the upgrader apart.
func failure(t *testing.T, err error) (stage string, code muxer.Code) {
	t.Helper()
	var s *StageError
	var r *Refusal
	switch {
	case errors.As(err, &r):
		return r.Stage, r.Code
	case errors.As(err, &s):
		return s.Stage, s.Code
	}
	t.Fatalf("error of type %T: %v", err, err)
	return "", 0
}

// unused reports that no budget is taken.
func unused(t *testing.T, u *Upgrader) {
	t.Helper()
	u.budgets.mu.Lock()
	defer u.budgets.mu.Unlock()
	if u.budgets.inFlight != 0 {
		t.Errorf("%d places are still taken", u.budgets.inFlight)
	}
	for key, s := range u.budgets.sources {
		if s.inFlight != 0 {
			t.Errorf("%d places of %v are still taken", s.inFlight, key)
		}
	}
}

const timeout = 5 * time.Second
