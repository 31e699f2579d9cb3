package tls

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// certificate is one of ours.
type certificate struct {
	node  handshake.PublicKey
	cert  *tls.Certificate
	until time.Time
}

// certificate returns a certificate that id has signed.
func (s *Security) certificate(ctx context.Context, id handshake.Identity) (*tls.Certificate, error) {
	node, err := id.PublicKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("our public key: %w", err)
	}
	now := time.Now()
	s.mu.Lock()
	c := s.last
	s.mu.Unlock()
	if c != nil && c.node == node && now.Before(c.until) {
		return c.cert, nil
	}
	// Signing may take long, so it is not under the lock. Two connections may both come here; each uses its own.
	cert, err := newCertificate(ctx, id, node, now)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.last = &certificate{node, cert, now.Add(certLife)}
	s.mu.Unlock()
	return cert, nil
}

func newCertificate(ctx context.Context, id handshake.Identity, node handshake.PublicKey, now time.Time) (*tls.Certificate, error) {
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a certificate's key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(&secret.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("make a certificate's key: %w", err)
	}
	sig, err := id.Sign(ctx, append([]byte(sigPrefix), public...))
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
	number := new(big.Int).SetBytes(serial[:])
	template := &x509.Certificate{
		SerialNumber:    number,
		NotBefore:       now.Add(-certBefore),
		NotAfter:        now.Add(certLife + certAfter),
		Subject:         pkix.Name{SerialNumber: number.String()}, // RFC 5280, section 4.1.2.4: the issuer must not be empty
		ExtraExtensions: []pkix.Extension{{Id: extensionID, Value: value}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &secret.PublicKey, secret)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: secret}, nil
}
