package hosts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	lib "github.com/quic-go/quic-go"
)

// hugeKey is an RSA public key without a private half. It tests how long we spend on it (CVE-2023-39533).
type hugeKey struct{ public rsa.PublicKey }

func newHugeKey(bits int) *hugeKey {
	n := make([]byte, bits/8)
	_, _ = rand.Read(n)
	n[0] |= 0x80
	n[len(n)-1] |= 1
	return &hugeKey{rsa.PublicKey{N: new(big.Int).SetBytes(n), E: 65537}}
}

func (k *hugeKey) Type() pb.KeyType                 { return pb.KeyType_RSA }
func (k *hugeKey) Raw() ([]byte, error)             { return x509.MarshalPKIXPublicKey(&k.public) }
func (k *hugeKey) Equals(crypto.Key) bool           { return false }
func (k *hugeKey) Sign([]byte) ([]byte, error)      { return make([]byte, 10), nil }
func (k *hugeKey) Verify(_, _ []byte) (bool, error) { return true, nil }
func (k *hugeKey) GetPublic() crypto.PubKey         { return k }

// hugeKeys sends keys that are too long. They must be refused for their length, before any computation.
func hugeKeys(t *testing.T, a *arena) {
	refused := a.watch(t)
	for _, c := range []struct {
		bits  int
		noise string
		tls   string
	}{
		{8200, "rsa key of 8200 bits", "rsa key of 8200 bits"},
		{16384, "public key: 2091 bytes, at most", "public key: 2091 bytes, at most"},
		{400_000, "oversized handshake message: 50126 bytes", "tls: more than 16384 bytes in a handshake"},
	} {
		bits := c.bits
		key := newHugeKey(bits)
		conn := a.proposed(t, "/noise")
		noise, err := gonoise.New(gonoise.ID, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		// it hears nothing from us after its key
		if _, err := noise.SecureOutbound(t.Context(), conn, a.peerID); err != nil {
			t.Fatal(err)
		}
		hangsUp(t, fmt.Sprintf("an RSA key of %d bits, noise", bits), conn, arenaTimeout-time.Second)
		refused(c.noise)
		conn = a.proposed(t, "/tls/1.0.0")
		tls, err := gotls.New(gotls.ID, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.SecureOutbound(t.Context(), conn, a.peerID); err != nil {
			t.Fatal(err)
		}
		hangsUp(t, fmt.Sprintf("an RSA key of %d bits, tls", bits), conn, arenaTimeout-time.Second)
		refused(c.tls)
	}
}

// certificate is an attacker's certificate, with its key.
type certificate struct {
	template x509.Certificate
	parent   *x509.Certificate // nil: self-signed
	signer   *ecdsa.PrivateKey // nil: its own key
	key      *ecdsa.PrivateKey
	chain    [][]byte // more certificates
	spoil    bool     // its signature
}

// make builds it.
func (c *certificate) make(t *testing.T) tls.Certificate {
	t.Helper()
	parent, signer := c.parent, c.signer
	if parent == nil {
		parent = &c.template
	}
	if signer == nil {
		signer = c.key
	}
	der, err := x509.CreateCertificate(rand.Reader, &c.template, parent, c.key.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	if c.spoil {
		der[len(der)-1] ^= 1
	}
	return tls.Certificate{Certificate: append([][]byte{der}, c.chain...), PrivateKey: c.key}
}

var extensionID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53594, 1, 1}

// extension proves node's key for a certificate's key, after a prefix that libp2p fixes.
func extension(t *testing.T, node crypto.PrivKey, public any, prefix string) pkix.Extension {
	t.Helper()
	form, err := crypto.MarshalPublicKey(node.GetPublic())
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := node.Sign(append([]byte(prefix), spki...))
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(struct{ Key, Sig []byte }{form, sig})
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: extensionID, Value: value}
}

const certificatePrefix = "libp2p-tls-handshake:"

// certificateTricks sends certificates that do not prove a node key as libp2p demands. They must be refused over TCP
// and QUIC.
func certificateTricks(t *testing.T, a *arena) {
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	identity, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *certificate){
		"":                   func(*certificate) {},
		"no extension":       func(c *certificate) { c.template.ExtraExtensions = nil },
		"an empty extension": func(c *certificate) { c.template.ExtraExtensions[0].Value = nil },
		"another key's proof": func(c *certificate) {
			c.template.ExtraExtensions[0] = extension(t, identity, newKey().Public(), certificatePrefix)
		},
		"a proof without its prefix": func(c *certificate) {
			c.template.ExtraExtensions[0] = extension(t, identity, c.key.Public(), "")
		},
		"a proof of a huge RSA key": func(c *certificate) {
			c.template.ExtraExtensions[0] = extension(t, newHugeKey(16384), c.key.Public(), certificatePrefix)
		},
		"an unknown critical extension": func(c *certificate) {
			c.template.ExtraExtensions = append(c.template.ExtraExtensions,
				pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
		},
		"expired":            func(c *certificate) { c.template.NotAfter = time.Now().Add(-time.Hour) },
		"not yet valid":      func(c *certificate) { c.template.NotBefore = time.Now().Add(time.Hour) },
		"a spoilt signature": func(c *certificate) { c.spoil = true },
		"signed by another": func(c *certificate) {
			c.parent = &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "another"}}
			c.signer = newKey()
		},
		"a chain of two": func(c *certificate) {
			c.chain = [][]byte{(&certificate{template: c.template, key: c.key}).make(t).Certificate[0]}
		},
	} {
		key := newKey()
		c := &certificate{key: key,
			template: x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour),
				NotAfter:        time.Now().Add(time.Hour),
				ExtraExtensions: []pkix.Extension{extension(t, identity, key.Public(), certificatePrefix)}}}
		change(c)
		conf := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
			NextProtos: []string{"/yamux/1.0.0", "libp2p"}}
		cert := c.make(t)
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }

		err := overTCP(a.proposed(t, "/tls/1.0.0"), conf)
		if (err == nil) != (name == "") {
			t.Errorf("a certificate with %q over TCP: %v", name, err)
		}
		conf.NextProtos = []string{"libp2p"}
		err = a.overQUIC(t, conf)
		if (err == nil) != (name == "") {
			t.Errorf("a certificate with %q over QUIC: %v", name, err)
		}
	}
}

// overTCP reports whether the program goes on after TLS: it opens a stream then.
func overTCP(raw net.Conn, conf *tls.Config) error {
	c := tls.Client(raw, conf)
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if err := c.Handshake(); err != nil {
		return err
	}
	_, err := io.ReadFull(c, make([]byte, 12))
	return err
}

func (a *arena) overQUIC(t *testing.T, conf *tls.Config) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	conn, err := lib.DialAddr(ctx, a.hostPort(t, "quic"), conf, &lib.Config{})
	if err != nil {
		return err
	}
	a.keep(quicConn{conn})
	st, err := conn.AcceptStream(ctx)
	if err != nil {
		return err
	}
	_ = st.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, err = io.ReadFull(st, make([]byte, 10))
	return err
}

type quicConn struct{ *lib.Conn }

func (c quicConn) Close() error { return c.CloseWithError(0, "") }
