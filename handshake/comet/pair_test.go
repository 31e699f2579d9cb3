package comet

import (
	"context"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// secure is Config.Secure as internal/stock has it.
func secure(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
	check func(handshake.PublicKey) error) (Secured, error) {
	c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{EarlyData: early, CheckKey: check})
	if err != nil {
		return Secured{}, err
	}
	return Secured{Reader: c, Binding: c.Binding,
		Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
			return mconn.New(c, side, channels, mconn.Config{})
		}}, nil
}

// node is one end of a test.
type node struct {
	key      *handshake.NodeKey
	wire     *Wire
	info     handshake.NodeInfo
	channels []muxer.Channel
	gates    []handshake.Gate
	timeout  time.Duration
	limits   handshake.Limits
}

func newNode(tb testing.TB, seed byte) *node {
	tb.Helper()
	n := &node{key: handshake.NewIdentity([32]byte{seed}), channels: []muxer.Channel{{ID: 0}, {ID: 0x7e}}}
	var err error
	if n.wire, err = New(Config{Identity: n.key, Secure: secure}); err != nil {
		tb.Fatal(err)
	}
	n.info = handshake.NodeInfo{
		ID: n.key.ID(), Moniker: "node", Network: "test", Version: "1.2.3", Channels: []byte{0, 0x7e},
		BlockVersion: handshake.BlockVersion,
		P2PVersion:   handshake.P2PVersion, Listen: []string{"/ip4/0.0.0.0/tcp/26656"},
	}
	return n
}

func (n *node) upgrader(tb testing.TB) *handshake.Upgrader {
	tb.Helper()
	u, err := handshake.NewUpgrader(handshake.Config{
		Wires:    []handshake.Wire{n.wire},
		Local:    func(transport.Conn) handshake.NodeInfo { return n.info },
		Channels: func() []muxer.Channel { return n.channels },
		Gates:    n.gates, Timeout: n.timeout, Limits: n.limits,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// address is where n is said to be.
func (n *node) address(tb testing.TB) transport.Address {
	tb.Helper()
	a, err := transport.CometAddress(n.key.ID(), "10.0.0.2", 26656)
	if err != nil {
		tb.Fatal(err)
	}
	return a
}

type result struct {
	link *handshake.Link
	err  error
}

const (
	dialerAddr   = "/ip4/10.0.0.1/tcp/40000"
	listenerAddr = "/ip4/10.0.0.2/tcp/26656"
)

// upgrade does both ends' handshakes over a pipe and returns the dialer's and the listener's result.
func upgrade(tb testing.TB, dialer, listener *node, addr transport.Address) (result, result) {
	tb.Helper()
	a, b := handshaketest.Pipe(dialerAddr, listenerAddr)
	return upgradeOver(tb, dialer, listener, addr, a, b)
}

func upgradeOver(tb testing.TB, dialer, listener *node, addr transport.Address, a, b transport.Conn) (result, result) {
	tb.Helper()
	du, lu := dialer.upgrader(tb), listener.upgrader(tb)
	done := make(chan result, 1)
	go func() {
		ticket, err := lu.Admit(b)
		if err != nil {
			b.Close()
			done <- result{nil, err}
			return
		}
		link, err := lu.Inbound(context.Background(), b, ticket)
		done <- result{link, err}
	}()
	link, err := du.Outbound(context.Background(), a, addr, 3*time.Millisecond)
	return result{link, err}, <-done
}
