package quic

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// awayIdentity is an identity whose signer is away: Sign waits until its context ends, or fails at once.
type awayIdentity struct {
	*handshake.NodeKey
	waits bool
}

var errAway = errors.New("the signer is away")

func (a awayIdentity) Sign(ctx context.Context, _ handshake.Purpose, _ []byte) ([]byte, error) {
	if a.waits {
		<-ctx.Done()
		return nil, errors.Join(errAway, ctx.Err())
	}
	return nil, errAway
}

// A dial that has no signature of our own key says so, and one that is accepted without ends at the dialer.
func TestIdentityIsAway(t *testing.T) {
	at := transporttest.Address(t, "/ip4/127.0.0.1/udp/0/quic-v1")
	l, err := newTransport(t, Config{}, listenerKey).Listen(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, waits := range []bool{false, true} {
		tr := newTransport(t, Config{}, awayIdentity{dialerKey, waits})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := tr.Dial(ctx, l.Addr())
		cancel()
		if !handshake.IsOwnFault(err) || !errors.Is(err, errAway) {
			t.Errorf("waits %v: %v", waits, err)
		}
	}
	away, err := newTransport(t, Config{}, awayIdentity{listenerKey, false}).Listen(t.Context(), at, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if _, err := newTransport(t, Config{}, dialerKey).Dial(t.Context(), away.Addr()); err == nil ||
		handshake.IsOwnFault(err) {
		t.Errorf("to a node without a signature: %v", err)
	}

	// A node whose proofs were made before needs no signature.
	id := &laterAway{NodeKey: dialerKey}
	proofs := tls.New(tls.Config{})
	tr, err := New(Config{}, Env{Identity: id, TLS: proofs, RemoteKey: tls.RemoteKey})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	for range 2 {
		c, err := tr.Dial(t.Context(), l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		id.away = true
	}
}

// laterAway is an identity that stops signing.
type laterAway struct {
	*handshake.NodeKey
	away bool
}

func (l *laterAway) Sign(ctx context.Context, p handshake.Purpose, msg []byte) ([]byte, error) {
	if l.away {
		return nil, errAway
	}
	return l.NodeKey.Sign(ctx, p, msg)
}
