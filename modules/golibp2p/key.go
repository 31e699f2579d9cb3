package golibp2p

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"

	"github.com/switchyard-p2p/switchyard/handshake"
)

type pubKey = crypto.PubKey

// publicKey returns a key in go-libp2p's form.
func publicKey(key handshake.PublicKey) (pubKey, error) {
	unmarshal, ok := crypto.PubKeyUnmarshallers[pb.KeyType(key.Type)]
	if !ok || key.IsZero() {
		return nil, fmt.Errorf("a key of type %v", key.Type)
	}
	return unmarshal(key.Raw())
}

// signTimeout bounds a signature: the key may be in another process.
const signTimeout = 5 * time.Second

// errSecret is why a key in another process has no bytes.
var errSecret = errors.New("the private key is not in this process")

// signingKey is a private key that signs through an identity.
type signingKey struct {
	identity handshake.Identity
	public   pubKey
}

var _ crypto.PrivKey = (*signingKey)(nil)

// Sign signs peer records and pubsub messages. All else is refused.
func (k *signingKey) Sign(msg []byte) ([]byte, error) {
	var purpose handshake.Purpose
	switch {
	case bytes.HasPrefix(msg, []byte(handshake.PubsubPrefix)):
		purpose = handshake.SignPubsub
	case strings.HasPrefix(string(msg[:min(len(msg), len(handshake.PeerRecordPrefix))]), handshake.PeerRecordPrefix):
		purpose = handshake.SignPeerRecord
	default:
		return nil, errors.New("the node's identity signs peer records and pubsub messages only")
	}
	ctx, cancel := context.WithTimeout(context.Background(), signTimeout)
	defer cancel()
	return k.identity.Sign(ctx, purpose, msg)
}

func (k *signingKey) GetPublic() crypto.PubKey { return k.public }
func (k *signingKey) Raw() ([]byte, error)     { return nil, errSecret }
func (k *signingKey) Type() pb.KeyType         { return k.public.Type() }

// Equals reports whether other signs with the same key.
func (k *signingKey) Equals(other crypto.Key) bool {
	o, ok := other.(crypto.PrivKey)
	if !ok {
		return false
	}
	ours, err1 := k.public.Raw()
	theirs, err2 := o.GetPublic().Raw()
	return err1 == nil && err2 == nil && o.Type() == k.Type() && subtle.ConstantTimeCompare(ours, theirs) == 1
}

// identityOf returns the identity that a private key is: ed25519 alone.
func identityOf(key crypto.PrivKey) (handshake.Identity, error) {
	if key.Type() != pb.KeyType_Ed25519 {
		return nil, fmt.Errorf("a key of type %v: nodes have ed25519 keys", key.Type())
	}
	raw, err := key.Raw()
	if err != nil {
		return nil, err
	}
	if len(raw) < handshake.SeedSize {
		return nil, fmt.Errorf("an ed25519 key of %d bytes", len(raw))
	}
	return handshake.NewIdentity([handshake.SeedSize]byte(raw[:handshake.SeedSize])), nil
}
