package suites

import (
	"context"
	"crypto/rand"
	"reflect"
	"runtime"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	gotransport "github.com/libp2p/go-libp2p/core/transport"
	theiryamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	goquic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	gotcp "github.com/libp2p/go-libp2p/p2p/transport/tcp"
	ttransport "github.com/libp2p/go-libp2p/p2p/transport/testsuite"
	ma "github.com/multiformats/go-multiaddr"
	quiclib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport/quic"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// testTimeout bounds what a broken test may take; no test waits for it.
const testTimeout = 30 * time.Second

// carrier is a transport of ours and go-libp2p's of the same kind.
type carrier struct {
	name   string
	listen ma.Multiaddr
	ours   func(testing.TB) (gotransport.Transport, peer.ID)
	theirs func(testing.TB) (gotransport.Transport, peer.ID)
}

var carriers = []carrier{
	{"tcp, noise, yamux", loopback["tcp"], func(t testing.TB) (gotransport.Transport, peer.ID) {
		return ourTCP(t, noise.New())
	}, func(t testing.TB) (gotransport.Transport, peer.ID) { return theirTCP(t, "noise") }},
	{"tcp, tls, yamux", loopback["tcp"], func(t testing.TB) (gotransport.Transport, peer.ID) {
		return ourTCP(t, tls.New(tls.Config{}))
	}, func(t testing.TB) (gotransport.Transport, peer.ID) { return theirTCP(t, "tls") }},
	{"quic", loopback["quic"], ourQUIC, theirQUIC},
}

func ourKey(t testing.TB) (*handshake.NodeKey, peer.ID) {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	own, err := id(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return key, own
}

func ourTCP(t testing.TB, security handshake.Security) (gotransport.Transport, peer.ID) {
	t.Helper()
	key, own := ourKey(t)
	return &ourTransport{Transport: tcp.New(tcp.Config{}), protocols: []int{ma.P_TCP}, key: key, security: security,
		muxer: newYamux(t)}, own
}

func ourQUIC(t testing.TB) (gotransport.Transport, peer.ID) {
	t.Helper()
	key, own := ourKey(t)
	q, err := quic.New(quic.Config{}, quic.Env{Identity: key, TLS: tls.New(tls.Config{}), RemoteKey: tls.RemoteKey})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = q.Close() })
	return &ourTransport{Transport: q, protocols: []int{ma.P_QUIC_V1}, key: key}, own
}

func theirKey(t testing.TB) (crypto.PrivKey, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	own, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, own
}

func theirTCP(t testing.TB, security string) (gotransport.Transport, peer.ID) {
	t.Helper()
	key, own := theirKey(t)
	muxers := []upgrader.StreamMuxer{{ID: theiryamux.ID, Muxer: theiryamux.DefaultTransport}}
	var secure sec.SecureTransport
	var err error
	if security == "tls" {
		secure, err = gotls.New(gotls.ID, key, muxers)
	} else {
		secure, err = gonoise.New(gonoise.ID, key, muxers)
	}
	if err != nil {
		t.Fatal(err)
	}
	u, err := upgrader.New([]sec.SecureTransport{secure}, muxers, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := gotcp.NewTCPTransport(u, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tcp, own
}

func theirQUIC(t testing.TB) (gotransport.Transport, peer.ID) {
	t.Helper()
	key, own := theirKey(t)
	q, err := newTheirQUIC(t, key)
	if err != nil {
		t.Fatal(err)
	}
	return theirQUICs{q, t, key}, own
}

// theirQUICs makes a transport for each listener: go-libp2p's panics when two begin to listen on port 0 at once.
type theirQUICs struct {
	gotransport.Transport
	t   testing.TB
	key crypto.PrivKey
}

func (q theirQUICs) Listen(at ma.Multiaddr) (gotransport.Listener, error) {
	one, err := newTheirQUIC(q.t, q.key)
	if err != nil {
		return nil, err
	}
	return one.Listen(at)
}

func newTheirQUIC(t testing.TB, key crypto.PrivKey) (gotransport.Transport, error) {
	manager, err := quicreuse.NewConnManager(quiclib.StatelessResetKey{}, quiclib.TokenGeneratorKey{})
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = manager.Close() })
	return goquic.NewTransport(key, manager, nil, nil, nil)
}

// connect connects our end, on the given side, with go-libp2p's, until the test ends.
func (c carrier) connect(t *testing.T, side muxer.Side) (ours, theirs gotransport.CapableConn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	dialer, _ := c.ours(t)
	listener, at := c.theirs(t)
	if side == muxer.Listener {
		dialer, _ = c.theirs(t)
		listener, at = c.ours(t)
	}
	l, err := listener.Listen(c.listen)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	type arrival struct {
		conn gotransport.CapableConn
		err  error
	}
	arrived := make(chan arrival, 1)
	go func() {
		conn, err := l.Accept()
		arrived <- arrival{conn, err}
	}()
	dialed, err := dialer.Dial(ctx, l.Multiaddr(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dialed.Close() })
	a := <-arrived
	if a.err != nil {
		t.Fatal(a.err)
	}
	t.Cleanup(func() { _ = a.conn.Close() })
	if side == muxer.Listener {
		return a.conn, dialed
	}
	return dialed, a.conn
}

// TestTransport runs go-libp2p's suite of transports.
func TestTransport(t *testing.T) {
	for _, c := range carriers {
		for name, side := range sides {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				listener, at := c.theirs(t)
				dialer, _ := c.ours(t)
				if side == muxer.Listener {
					dialer, _ = c.theirs(t)
					listener, at = c.ours(t)
				}
				for _, f := range ttransport.Subtests {
					t.Run(short(runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()), func(t *testing.T) {
						f(t, listener, dialer, c.listen, at)
					})
				}
			})
		}
	}
}
