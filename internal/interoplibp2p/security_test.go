package interoplibp2p

import (
	"bytes"
	"context"
	cryptotls "crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/sec"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/quic"
)

func each(t *testing.T, f func(t *testing.T, p pairing, side muxer.Side)) {
	for _, p := range pairings {
		for _, side := range sides {
			t.Run(fmt.Sprintf("%s/%s", p.name, side), func(t *testing.T) { f(t, p, side) })
		}
	}
}

// Remotes of every key type prove their keys, and we prove ours; both ends know the same ids.
func TestKeyTypes(t *testing.T) {
	keys := map[string]crypto.PrivKey{
		"ed25519": newKey(t, crypto.Ed25519, 0), "secp256k1": newKey(t, crypto.Secp256k1, 0),
		"ecdsa":    newKey(t, crypto.ECDSA, 0),
		"rsa 2048": newKey(t, crypto.RSA, 2048), "rsa 4096": newKey(t, crypto.RSA, 4096),
	}
	each(t, func(t *testing.T, p pairing, side muxer.Side) {
		for name, key := range keys {
			want := keyOf(t, key)
			if id, err := peer.IDFromPrivateKey(key); err != nil || id.String() != want.PeerID() {
				t.Errorf("%s: peer id %s, want %s", name, want.PeerID(), id)
			}
			var asked handshake.PublicKey
			r := p.connect(t, setup{side: side, key: key, want: want, wantOfUs: peerIDOf(t, ourKey.Public()),
				checkKey: func(k handshake.PublicKey) error { asked = k; return nil }})
			if err := r.ends(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if asked != want || r.their.RemotePeer() != peerIDOf(t, ourKey.Public()) {
				t.Errorf("%s: keys", name)
			}
		}
	})
}

func TestWrongID(t *testing.T) {
	key, other := newKey(t, crypto.Ed25519, 0), newKey(t, crypto.Ed25519, 0)
	each(t, func(t *testing.T, p pairing, side muxer.Side) {
		r := p.connect(t, setup{side: side, key: key, want: keyOf(t, other), wantOfUs: peerIDOf(t, ourKey.Public())})
		var refusal *handshake.Refusal
		if !errors.As(r.oursErr, &refusal) || refusal.Code != muxer.CodeWrongID {
			t.Errorf("we: %v", r.oursErr)
		}
		r = p.connect(t, setup{side: side, key: key, want: keyOf(t, key), wantOfUs: peerIDOf(t, keyOf(t, other))})
		var mismatch sec.ErrPeerIDMismatch
		if !errors.As(r.theirErr, &mismatch) {
			t.Errorf("go-libp2p: %v", r.theirErr)
		}
		// A dialer may learn of a refusal only at its first read.
		if r.oursErr == nil {
			if _, err := r.ours.Read(make([]byte, 1)); err == nil {
				t.Error("we did not notice")
			}
		}
	})
}

func TestEarlyMuxers(t *testing.T) {
	key := newKey(t, crypto.Ed25519, 0)
	each(t, func(t *testing.T, p pairing, side muxer.Side) {
		for _, c := range []struct {
			dialer, listener []string
			want             string
		}{
			{[]string{"/yamux/1.0.0"}, []string{"/yamux/1.0.0"}, "/yamux/1.0.0"},
			{[]string{"/a", "/b"}, []string{"/b", "/a"}, "/a"},
			{[]string{"/c", "/b"}, []string{"/a", "/b"}, "/b"},
			{[]string{"/a"}, []string{"/b"}, ""},
			{nil, []string{"/a"}, ""},
			{[]string{"/a"}, nil, ""},
		} {
			s := setup{side: side, key: key, wantOfUs: peerIDOf(t, ourKey.Public()), ourMuxers: c.dialer,
				theirMuxers: c.listener}
			if side == muxer.Listener {
				s.ourMuxers, s.theirMuxers = c.listener, c.dialer
			}
			r := p.connect(t, s)
			if err := r.ends(); err != nil {
				t.Fatal(err)
			}
			state := r.their.ConnState()
			if r.ours.Muxer() != c.want || string(state.StreamMultiplexer) != c.want ||
				state.UsedEarlyMuxerNegotiation != (c.want != "") {
				t.Errorf("%v and %v: we %q, go-libp2p %q", c.dialer, c.listener, r.ours.Muxer(),
					state.StreamMultiplexer)
			}
		}
	})
}

// Bytes and the end of the stream come back as they were sent, whichever end echoes.
func TestEcho(t *testing.T) {
	key := newKey(t, crypto.Ed25519, 0)
	data := make([]byte, 16<<20)
	rnd := rand.NewChaCha8([32]byte{5})
	_, _ = rnd.Read(data)
	each(t, func(t *testing.T, p pairing, side muxer.Side) {
		for _, size := range []int{0, 1, 100, 16 << 10, 65518, 65519, 65520, 65536, 1 << 20, 16 << 20} {
			for _, weEcho := range []bool{false, true} {
				r := p.connect(t, setup{side: side, key: key, wantOfUs: peerIDOf(t, ourKey.Public())})
				if err := r.ends(); err != nil {
					t.Fatal(err)
				}
				near, far := io.ReadWriteCloser(r.ours), io.ReadWriteCloser(r.their)
				if weEcho {
					near, far = far, near
				}
				echoed, sent := make(chan error, 1), make(chan error, 1)
				go func() {
					_, err := io.CopyBuffer(struct{ io.Writer }{far}, struct{ io.Reader }{far}, make([]byte, 40000))
					far.Close()
					echoed <- err
				}()
				go func() {
					_, err := near.Write(data[:size])
					sent <- err
				}()
				got := make([]byte, size)
				_, err := io.ReadFull(near, got)
				if err := errors.Join(err, <-sent); err != nil || !bytes.Equal(got, data[:size]) {
					t.Fatalf("%d bytes, we echo %v: %v", size, weEcho, err)
				}
				near.Close()
				if err := <-echoed; err != nil {
					t.Errorf("%d bytes, we echo %v: the end: %v", size, weEcho, err)
				}
			}
		}
	})
}

// Between go-libp2p and us, each with its defaults, TLS and QUIC use the post-quantum hybrid, whichever end dials.
func TestPostQuantum(t *testing.T) {
	for _, side := range sides {
		t.Run("tls/"+side.String(), func(t *testing.T) {
			r := pairings[1].connect(t,
				setup{side: side, key: newKey(t, crypto.Ed25519, 0), wantOfUs: peerIDOf(t, ourKey.Public())})
			if err := r.ends(); err != nil {
				t.Fatal(err)
			}
			if got := r.ours.(*tls.Conn).ConnectionState().CurveID; got != cryptotls.X25519MLKEM768 {
				t.Errorf("agreed on keys with %v", got)
			}
		})
	}
	t.Run("quic", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		seen := &exchanges{Security: tls.New(tls.Config{})}
		ours, err := quic.New(quic.Config{}, quic.Env{Identity: ourKey, TLS: seen, RemoteKey: tls.RemoteKey})
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		l, err := ours.Listen(ctx, ma.StringCast("/ip4/127.0.0.1/udp/0/quic-v1"), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		theirs := gopeer.Start(t, gopeer.Stacks[2])
		dialed := make(chan error, 1) // theirs first: it would not dial a peer that has dialed it
		us := peer.AddrInfo{ID: peerIDOf(t, ourKey.Public()), Addrs: []ma.Multiaddr{l.Addr()}}
		connecting, stop := context.WithCancel(ctx)
		go func() { dialed <- theirs.Connect(connecting, us) }() // it waits for identify, which is not answered
		a, _, err := l.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		a.Close()
		stop()
		<-dialed
		c, err := ours.Dial(ctx, theirs.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := seen.all(); len(got) < 2 || slices.ContainsFunc(got, func(id cryptotls.CurveID) bool {
			return id != cryptotls.X25519MLKEM768
		}) {
			t.Errorf("agreed on keys with %v", got)
		}
	})
}

// exchanges records the key exchange of each handshake.
type exchanges struct {
	*tls.Security
	mu   sync.Mutex
	with []cryptotls.CurveID
}

func (e *exchanges) note(c *cryptotls.Config) *cryptotls.Config {
	c = c.Clone()
	verify := c.VerifyConnection
	c.VerifyConnection = func(state cryptotls.ConnectionState) error {
		e.mu.Lock()
		e.with = append(e.with, state.CurveID)
		e.mu.Unlock()
		return verify(state)
	}
	return c
}

func (e *exchanges) all() []cryptotls.CurveID {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.with)
}

func (e *exchanges) ServerConfig(id handshake.Identity) *cryptotls.Config {
	return e.note(e.Security.ServerConfig(id))
}

func (e *exchanges) ClientConfig(
	ctx context.Context, id handshake.Identity, want transport.NodeID,
) (*cryptotls.Config, error) {
	c, err := e.Security.ClientConfig(ctx, id, want)
	if err != nil {
		return nil, err
	}
	return e.note(c), nil
}
