package tls

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
)

// certificates are our own: one with an ed25519 key, with which signing and verifying together take half the time, and
// one with a key on P-256, for remotes that do not verify ed25519.
type certificates struct {
	ed25519, p256 *tls.Certificate
}

// choose returns the certificate for a remote that verifies these signatures.
func (c *certificates) choose(schemes []tls.SignatureScheme) *tls.Certificate {
	if slices.Contains(schemes, tls.Ed25519) {
		return c.ed25519
	}
	return c.p256
}

// certify makes certificates that id has signed.
func certify(ctx context.Context, id handshake.Identity, node handshake.PublicKey) (*certificates, error) {
	c, now := &certificates{}, time.Now()
	edwards, err := keycrypto.NewEd25519()
	if err != nil {
		return nil, fmt.Errorf("make a certificate's key: %w", err)
	}
	if c.ed25519, err = newCertificate(ctx, id, node, signer{ed25519.PrivateKey(edwards)}, now); err != nil {
		return nil, err
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate's key: %w", err)
	}
	if c.p256, err = newCertificate(ctx, id, node, p256, now); err != nil {
		return nil, err
	}
	return c, nil
}

// signer signs with the faster implementation of keycrypto.
type signer struct{ ed25519.PrivateKey }

// Sign implements crypto.Signer.
func (s signer) Sign(rand io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != 0 { // TLS and certificates sign what is not hashed
		return s.PrivateKey.Sign(rand, msg, opts)
	}
	return keycrypto.Ed25519Private(s.PrivateKey).Sign(msg), nil
}

func newCertificate(ctx context.Context, id handshake.Identity, node handshake.PublicKey, secret crypto.Signer,
	now time.Time) (*tls.Certificate, error) {
	public, err := x509.MarshalPKIXPublicKey(secret.Public())
	if err != nil {
		return nil, fmt.Errorf("make a certificate's key: %w", err)
	}
	sig, err := id.Sign(ctx, handshake.SignCertificateKey, append([]byte(handshake.CertificateKeyPrefix), public...))
	if err != nil {
		return nil, fmt.Errorf("sign the certificate's key: %w", err)
	}
	value, err := asn1.Marshal(signedKey{node.AppendProto(nil), sig})
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	var serial [8]byte
	_, _ = rand.Read(serial[:]) // never fails
	serial[0] &= 0x7f
	template := &x509.Certificate{
		// issuer and serial number together are unique: RFC 5280, section 4.1.2.2
		SerialNumber: new(big.Int).SetBytes(serial[:]),
		NotBefore:    now.Add(-certBefore),
		NotAfter:     now.Add(certLife + certAfter),
		// RFC 5280, section 4.1.2.4: the issuer must not be empty. It is short, as each byte of a certificate costs
		// each set-up some thirty bytes of memory
		Subject:         pkix.Name{SerialNumber: "1"},
		ExtraExtensions: []pkix.Extension{{Id: extensionID, Value: value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: secret}, nil
}
