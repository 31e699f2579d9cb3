package noise

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// rsaIdentity is a node of another kind than ours.
type rsaIdentity struct {
	t      testing.TB
	secret *rsa.PrivateKey
	key    handshake.PublicKey
}

func newRSAIdentity(t testing.TB, secret *rsa.PrivateKey) *rsaIdentity {
	der, err := x509.MarshalPKIXPublicKey(&secret.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	key, err := handshake.NewPublicKey(handshake.RSA, der)
	if err != nil {
		t.Fatal(err)
	}
	return &rsaIdentity{t, secret, key}
}

func (r *rsaIdentity) proof(static []byte) []byte {
	sum := sha256.Sum256(append([]byte(handshake.NoiseKeyPrefix), static...))
	sig, err := rsa.SignPKCS1v15(nil, r.secret, crypto.SHA256, sum[:])
	if err != nil {
		r.t.Error(err)
	}
	return appendProof(nil, r.key, sig)
}
