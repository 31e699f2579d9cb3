package handshake

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
	"github.com/switchyard-p2p/switchyard/transport"
)

// NodeKey is an ed25519 node key that lives in this process: the Identity of most nodes. It is immutable and may be
// used concurrently. It prints as its node id, never as the secret.
type NodeKey struct {
	secret  keycrypto.Ed25519Private
	public  PublicKey
	id      transport.NodeID
	warning error
}

var _ Identity = (*NodeKey)(nil)

// SeedSize is the length in bytes of the secret that an ed25519 key grows from.
const SeedSize = keycrypto.Ed25519SeedSize

// GenerateNodeKey makes a new key from the system's randomness.
func GenerateNodeKey() (*NodeKey, error) {
	secret, err := keycrypto.NewEd25519()
	if err != nil {
		return nil, fmt.Errorf("generate a node key: %w", err)
	}
	return newNodeKey(secret), nil
}

// NewIdentity makes the key that grows from seed: always the same one, so tests use it with seeds of their own.
func NewIdentity(seed [SeedSize]byte) *NodeKey {
	return newNodeKey(keycrypto.Ed25519FromSeed(seed))
}

func newNodeKey(secret keycrypto.Ed25519Private) *NodeKey {
	public := PublicKey{Type: Ed25519, raw: string(secret.Public())}
	return &NodeKey{secret: secret, public: public, id: public.NodeID()}
}

// PublicKey returns the key's public half. It never fails.
func (k *NodeKey) PublicKey(context.Context) (PublicKey, error) { return k.public, nil }

// Sign implements Identity. It does not look at the context: it takes microseconds.
func (k *NodeKey) Sign(_ context.Context, p Purpose, msg []byte) ([]byte, error) {
	if _, err := p.Body(msg); err != nil {
		return nil, err
	}
	return k.secret.Sign(msg), nil
}

// Public is PublicKey without a context.
func (k *NodeKey) Public() PublicKey { return k.public }

// ID returns the node id of the key.
func (k *NodeKey) ID() transport.NodeID { return k.id }

// Warning returns what the owner of the key's file should fix, such as permissions that let others read
// it. It is nil when there is nothing to say. The key works all the same; the caller logs the warning.
func (k *NodeKey) Warning() error { return k.warning }

// String returns the node id.
func (k *NodeKey) String() string { return string(k.id) }

// Format prints the node id whatever the verb, so that no %#v or %x shows the secret.
func (k *NodeKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(k.id)) }

// LogValue logs the node id.
func (k *NodeKey) LogValue() slog.Value { return slog.StringValue(string(k.id)) }
