package golibp2p_test

import (
	"context"
	"testing"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p"
)

// remoteSigner hides the key behind an identity, as a signer in another process does.
type remoteSigner struct{ key *handshake.NodeKey }

func (s remoteSigner) PublicKey(ctx context.Context) (handshake.PublicKey, error) {
	return s.key.PublicKey(ctx)
}

func (s remoteSigner) Sign(ctx context.Context, p handshake.Purpose, msg []byte) ([]byte, error) {
	return s.key.Sign(ctx, p, msg)
}

// A node whose key is elsewhere signs peer records and pubsub messages, and nothing else.
func TestRemoteSigner(t *testing.T) {
	signer := remoteSigner{handshake.NewIdentity([32]byte{7})}
	a := newHost(t, golibp2p.Config{Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Identity: signer})
	key := a.Peerstore().PrivKey(a.ID())
	if key == nil || !key.Equals(key) || !a.ID().MatchesPrivateKey(key) {
		t.Fatal("no key, or not ours")
	}
	if _, err := key.Raw(); err == nil {
		t.Error("the key has bytes")
	}
	for _, bad := range []string{"", "x", "libp2p-pubsub:", "noise-libp2p-static-key:" + string(make([]byte, 32))} {
		if _, err := key.Sign([]byte(bad)); err == nil {
			t.Errorf("%.20q is signed", bad)
		}
	}
	book, _ := peerstore.GetCertifiedAddrBook(a.Peerstore())
	if e := book.GetPeerRecord(a.ID()); e == nil || !e.PublicKey.Equals(key.GetPublic()) {
		t.Errorf("no record of ourselves: %v", e)
	}
	b := tcpOnly(t)
	ctx, cancel := context.WithCancel(within(t))
	defer cancel()
	from, err := pubsub.NewGossipSub(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	to, err := pubsub.NewGossipSub(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	out, err := from.Join("t")
	if err != nil {
		t.Fatal(err)
	}
	in, err := to.Join("t")
	if err != nil {
		t.Fatal(err)
	}
	sub, err := in.Subscribe()
	if err == nil {
		_, err = out.Subscribe()
	}
	if err != nil {
		t.Fatal(err)
	}
	connect(t, a, b)
	deliver(ctx, t, out, sub, a.ID())
}
