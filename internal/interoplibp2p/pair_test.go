// Package interoplibp2p tests the securities with those of go-libp2p. It is a module of its own so that users do not
// inherit its dependencies.
package interoplibp2p

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/upgrader"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/noise"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// testTimeout bounds what a broken test may take; no test waits for it.
const testTimeout = 30 * time.Second

// pairing is one of our securities and go-libp2p's of the same name.
type pairing struct {
	name   string
	ours   func() handshake.Security
	theirs func(crypto.PrivKey, []upgrader.StreamMuxer) (sec.SecureTransport, error)
}

var pairings = []pairing{
	{"noise", func() handshake.Security { return noise.New() },
		func(k crypto.PrivKey, m []upgrader.StreamMuxer) (sec.SecureTransport, error) {
			return gonoise.New(gonoise.ID, k, m)
		}},
	{"tls", func() handshake.Security { return tls.New(tls.Config{}) },
		func(k crypto.PrivKey, m []upgrader.StreamMuxer) (sec.SecureTransport, error) {
			return gotls.New(gotls.ID, k, m)
		}},
}

var sides = []muxer.Side{muxer.Dialer, muxer.Listener}

var ourKey = handshake.NewIdentity([handshake.SeedSize]byte{1})

// peerIDOf returns the libp2p peer id of one of our keys.
func peerIDOf(tb testing.TB, key handshake.PublicKey) peer.ID {
	tb.Helper()
	id, err := peer.Decode(key.PeerID())
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// keyOf returns the public half of a go-libp2p key as one of our keys.
func keyOf(tb testing.TB, secret crypto.PrivKey) handshake.PublicKey {
	tb.Helper()
	form, err := crypto.MarshalPublicKey(secret.GetPublic())
	if err != nil {
		tb.Fatal(err)
	}
	key, err := handshake.ParsePublicKey(form)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newKey(tb testing.TB, kind, bits int) crypto.PrivKey {
	tb.Helper()
	secret, _, err := crypto.GenerateKeyPair(kind, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return secret
}

func muxersOf(names []string) (all []upgrader.StreamMuxer) {
	for _, n := range names {
		all = append(all, upgrader.StreamMuxer{ID: protocol.ID(n)})
	}
	return all
}

// tcpPair returns both ends of a loopback connection, closed when the test ends.
func tcpPair(tb testing.TB) (dialer, listener net.Conn) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	if dialer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		tb.Fatal(err)
	}
	if listener, err = l.Accept(); err != nil {
		tb.Fatal(err)
	}
	for _, c := range []net.Conn{dialer, listener} {
		tb.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(testTimeout))
	}
	return dialer, listener
}

// both is a connection between us and go-libp2p.
type both struct {
	ours     handshake.SecureConn
	oursErr  error
	their    sec.SecureConn
	theirErr error
}

// setup describes the two ends.
type setup struct {
	side                   muxer.Side // ours
	key                    crypto.PrivKey
	want                   handshake.PublicKey // the key we expect; zero: any
	wantOfUs               peer.ID             // the peer that go-libp2p expects
	ourMuxers, theirMuxers []string
	checkKey               func(handshake.PublicKey) error
}

func (p pairing) connect(tb testing.TB, s setup) (r both) {
	tb.Helper()
	theirs, err := p.theirs(s.key, muxersOf(s.theirMuxers))
	if err != nil {
		tb.Fatal(err)
	}
	a, b := tcpPair(tb) // ours, theirs
	if s.side == muxer.Listener {
		a, b = b, a
	}
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.side == muxer.Dialer {
			r.their, r.theirErr = theirs.SecureInbound(ctx, b, s.wantOfUs)
		} else {
			r.their, r.theirErr = theirs.SecureOutbound(ctx, b, s.wantOfUs)
		}
		if r.theirErr != nil {
			b.Close()
		}
	}()
	r.ours, r.oursErr = p.ours().Secure(ctx, a,
		handshake.Securing{Side: s.side, Identity: ourKey, Want: s.want.NodeID(), Muxers: s.ourMuxers,
			CheckKey: s.checkKey})
	if r.oursErr != nil {
		a.Close()
	}
	<-done
	return r
}

// ends holds the errors of both ends.
func (r both) ends() error { return errors.Join(r.oursErr, r.theirErr) }
