package tls

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// signedKey is the extension's value.
type signedKey struct {
	PublicKey []byte // in libp2p's protobuf form
	Signature []byte
}

// VerifyCertificates returns the node key that the certificates of a TLS handshake name: exactly one, self-signed and
// valid at the time now, with the extension of libp2p, whose signature is right, and no other critical one. crypto/tls
// verifies that the remote has the certificate's secret key.
func VerifyCertificates(certs []*x509.Certificate, now time.Time) (handshake.PublicKey, error) {
	return verifyCertificates(certs, now, new(known))
}

// verifyCertificates is VerifyCertificates that checks only the validity period of a certificate in seen.
func verifyCertificates(certs []*x509.Certificate, now time.Time, seen *known) (handshake.PublicKey, error) {
	if len(certs) != 1 {
		return handshake.PublicKey{}, fmt.Errorf("%w: %d certificates, want exactly one", ErrCertificate, len(certs))
	}
	cert := certs[0]
	switch {
	case now.Before(cert.NotBefore):
		return handshake.PublicKey{},
			fmt.Errorf("%w: not valid before %s", ErrCertificate, cert.NotBefore.UTC().Format(time.RFC3339))
	case now.After(cert.NotAfter):
		return handshake.PublicKey{},
			fmt.Errorf("%w: expired on %s", ErrCertificate, cert.NotAfter.UTC().Format(time.RFC3339))
	}
	return seen.node(cert.Raw, func() (handshake.PublicKey, error) { return verifyCertificate(cert) })
}

// verifyCertificate checks all that does not depend on the time.
func verifyCertificate(cert *x509.Certificate) (handshake.PublicKey, error) {
	for _, id := range cert.UnhandledCriticalExtensions {
		if !id.Equal(extensionID) {
			return handshake.PublicKey{}, fmt.Errorf("%w: unknown critical extension %s", ErrCertificate, id)
		}
	}
	if k, ok := cert.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() > handshake.MaxRSABits {
		return handshake.PublicKey{},
			fmt.Errorf("%w: rsa key of %d bits, at most %d", ErrCertificate, k.N.BitLen(), handshake.MaxRSABits)
	}
	key, sig, err := extension(cert)
	if err != nil {
		return handshake.PublicKey{}, err
	}
	if !key.Verify(append([]byte(handshake.CertificateKeyPrefix), cert.RawSubjectPublicKeyInfo...), sig) {
		return handshake.PublicKey{}, ErrBadSignature
	}
	if err := checkSelfSigned(cert); err != nil {
		return handshake.PublicKey{}, fmt.Errorf("%w: not self-signed: %w", ErrCertificate, err)
	}
	return key, nil
}

func checkSelfSigned(cert *x509.Certificate) error {
	raw, ok := cert.PublicKey.(ed25519.PublicKey)
	if !ok || cert.SignatureAlgorithm != x509.PureEd25519 {
		return cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature)
	}
	key, err := handshake.NewEd25519Key(raw) // it verifies faster than the standard library
	if err == nil && !key.Verify(cert.RawTBSCertificate, cert.Signature) {
		err = errors.New("wrong signature")
	}
	return err
}

// extension reads the node key and its signature from a certificate. (x509 refuses a certificate with an extension
// twice.)
func extension(cert *x509.Certificate) (key handshake.PublicKey, sig []byte, err error) {
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(extensionID) {
			continue
		}
		var signed signedKey
		if rest, err := asn1.Unmarshal(ext.Value, &signed); err != nil || len(rest) > 0 {
			return key, nil, fmt.Errorf("%w: the extension with the node key is malformed", ErrCertificate)
		}
		key, err := handshake.ParsePublicKey(signed.PublicKey)
		return key, signed.Signature, err
	}
	return key, nil, fmt.Errorf("%w: no extension with a node key", ErrCertificate)
}

// RemoteKey returns the node key of the remote in a handshake that is complete and whose configuration was made here,
// so that its certificate is verified already.
func RemoteKey(state tls.ConnectionState) (handshake.PublicKey, error) {
	if !state.HandshakeComplete || len(state.PeerCertificates) != 1 {
		return handshake.PublicKey{}, fmt.Errorf("%w: the handshake is not complete", ErrCertificate)
	}
	key, _, err := extension(state.PeerCertificates[0])
	return key, err
}
