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
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/crypto/pb"
	gonoise "github.com/libp2p/go-libp2p/p2p/security/noise"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	lib "github.com/quic-go/quic-go"
)

// hugeKey is an RSA key that nobody has the private half of: what counts is how long we look at it (CVE-2023-39533).
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
func (k *hugeKey) Sign([]byte) ([]byte, error)      { return make([]byte, k.public.Size()), nil }
func (k *hugeKey) Verify(_, _ []byte) (bool, error) { return true, nil }
func (k *hugeKey) GetPublic() crypto.PubKey         { return k }

// hugeKeys: a key that is too long is refused before anything is computed with it.
func hugeKeys(t *testing.T, a *arena) {
	for _, bits := range []int{8200, 16384, 400_000} {
		key := newHugeKey(bits)
		began := time.Now()
		c := a.proposed(t, "/noise")
		theirs, err := gonoise.New(gonoise.ID, key, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.SecureOutbound(t.Context(), c, a.peerID); err == nil {
			hangsUp(t, fmt.Sprintf("an RSA key of %d bits, noise", bits), c, time.Second)
		}
		if bits < 100_000 { // such a certificate is not made at all
			c = a.proposed(t, "/tls/1.0.0")
			theirs, err := gotls.New(gotls.ID, key, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := theirs.SecureOutbound(t.Context(), c, a.peerID); err == nil {
				hangsUp(t, fmt.Sprintf("an RSA key of %d bits, tls", bits), c, time.Second)
			}
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("an RSA key of %d bits was refused after %v", bits, took)
		}
	}
}

// certificate is one of an attacker, with its key.
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

// certificateTricks: only a certificate that proves a node's key, as libp2p wants it, gets any further, over TCP and QUIC.
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
			c.template.ExtraExtensions = append(c.template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
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
		c := &certificate{key: key, template: x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtraExtensions: []pkix.Extension{extension(t, identity, key.Public(), certificatePrefix)}}}
		change(c)
		conf := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"/yamux/1.0.0", "libp2p"}}
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

// overTCP says whether the program goes on after TLS: it opens a stream then.
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

// silence: who stops at any step is cut off when the handshake's time is over, and delays nobody meanwhile.
func silence(t *testing.T, a *arena) {
	const each = 4
	var wg sync.WaitGroup
	silent := func(what string, c net.Conn) {
		wg.Go(func() { hangsUp(t, "silent after "+what, c, arenaTimeout+time.Second) })
	}
	for range each {
		for what, first := range map[string][]byte{
			"nothing": nil, "one byte": {0x13}, "multistream's header": lines(), "half a proposal": lines("/noise")[:24], "a refused proposal": lines("/nonsense"),
			"noise was proposed": lines("/noise"), "half a Noise message": append(lines("/noise"), 0, 32, 1, 2, 3), "the first Noise message": append(append(lines("/noise"), 0, 32), make([]byte, 32)...),
			"tls was proposed": lines("/tls/1.0.0"), "half a ClientHello": append(lines("/tls/1.0.0"), 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc),
		} {
			c := a.dial(t)
			_, _ = c.Write(first)
			silent(what, c)
		}
		silent("noise", a.secured(t)) // identify is not answered
	}
	quiet := &lib.Config{MaxIdleTimeout: time.Minute}
	identity, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := gotls.NewIdentity(identity)
	if err != nil {
		t.Fatal(err)
	}
	for range each {
		conf, _ := id.ConfigForPeer(a.peerID)
		conf.NextProtos = []string{"libp2p"}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		conn, err := lib.DialAddr(ctx, a.hostPort(t, "quic"), conf, quiet)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		a.keep(quicConn{conn})
		wg.Go(func() {
			select {
			case <-conn.Context().Done():
			case <-time.After(arenaTimeout + time.Second):
				t.Error("silent after QUIC's handshake: not cut off")
			}
		})
	}
	a.silentDatagrams(t)
	t.Logf("meanwhile honest peers are served within %v", a.serves(t, "beside silent peers").Round(time.Millisecond))
	wg.Wait()
}

// silentDatagrams begins QUIC handshakes that are not gone on with.
func (a *arena) silentDatagrams(t *testing.T) {
	t.Helper()
	for range 20 {
		pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: a.ip()})
		if err != nil {
			t.Fatal(err)
		}
		to, err := net.ResolveUDPAddr("udp4", a.hostPort(t, "quic"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, err = lib.Dial(ctx, &mute{PacketConn: pc, left: 1}, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"libp2p"}}, &lib.Config{})
		cancel()
		if err == nil {
			t.Error("a handshake of one datagram succeeded")
		}
		_ = pc.Close()
	}
}

// mute sends a few datagrams, and loses the rest.
type mute struct {
	net.PacketConn
	mu   sync.Mutex
	left int
}

func (m *mute) WriteTo(p []byte, to net.Addr) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left < 0 {
		return len(p), nil
	}
	return m.PacketConn.WriteTo(p, to)
}
