package handshake

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	secpecdsa "github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/transport"
)

// foreign is a key pair of some type.
type foreign struct {
	typ  KeyType
	data []byte
	sign func(msg []byte) []byte
}

func pkix(tb testing.TB, key any) []byte {
	tb.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func newRSA(tb testing.TB, bits int) foreign {
	tb.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		tb.Fatal(err)
	}
	return foreign{RSA, pkix(tb, &key.PublicKey), func(msg []byte) []byte {
		sum := sha256.Sum256(msg)
		sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			tb.Fatal(err)
		}
		return sig
	}}
}

func newECDSA(tb testing.TB, curve elliptic.Curve) foreign {
	tb.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return foreign{ECDSA, pkix(tb, &key.PublicKey), func(msg []byte) []byte {
		sum := sha256.Sum256(msg)
		sig, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
		if err != nil {
			tb.Fatal(err)
		}
		return sig
	}}
}

func newSecp256k1(tb testing.TB) foreign {
	tb.Helper()
	key, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		tb.Fatal(err)
	}
	return foreign{Secp256k1, key.PubKey().SerializeCompressed(), func(msg []byte) []byte {
		sum := sha256.Sum256(msg)
		return secpecdsa.Sign(key, sum[:]).Serialize()
	}}
}

func newEd25519(tb testing.TB) foreign {
	tb.Helper()
	seed := [SeedSize]byte{42}
	return foreign{Ed25519, NewIdentity(seed).Public().Raw(), func(msg []byte) []byte {
		return handshaketest.Sign(seed, msg)
	}}
}

func TestKeyTypes(t *testing.T) {
	keys := []foreign{newEd25519(t), newSecp256k1(t), newECDSA(t, elliptic.P256()), newRSA(t, 2048)}
	for i, f := range keys {
		key, err := NewPublicKey(f.typ, f.data)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(key.Raw(), f.data) {
			t.Errorf("%s: raw %x", f.typ, key.Raw())
		}
		form := key.AppendProto(nil)
		again, err := ParsePublicKey(form)
		if err != nil || again != key {
			t.Errorf("%s: parsed again: %v, %v", f.typ, again, err)
		}
		id, err := transport.ParseNodeID(key.PeerID())
		if err != nil || id != key.NodeID() || id == "" {
			t.Errorf("%s: node id %q, peer id %q: %v", f.typ, key.NodeID(), key.PeerID(), err)
		}
		msg := []byte("a message")
		sig := f.sign(msg)
		if !key.Verify(msg, sig) {
			t.Errorf("%s: its own signature is refused", f.typ)
		}
		if key.Verify([]byte("another"), sig) || key.Verify(msg, nil) || key.Verify(msg, sig[:len(sig)-1]) ||
			key.Verify(msg, append(bytes.Clone(sig), 0)) {
			t.Errorf("%s: a wrong signature is accepted", f.typ)
		}
		for j, other := range keys {
			if i != j && key.Verify(msg, other.sign(msg)) {
				t.Errorf("%s accepts a signature of %s", f.typ, other.typ)
			}
			// The same bytes under another type are no key, or at least not this one's signature.
			if k, err := NewPublicKey(other.typ, f.data); i != j && err == nil && k.Verify(msg, sig) {
				t.Errorf("%s passes as %s", f.typ, other.typ)
			}
		}
	}
	var zero PublicKey
	if zero.NodeID() != "" || zero.PeerID() != "" || zero.Verify(nil, nil) {
		t.Error("the zero key is a key")
	}
	if (PublicKey{Type: 9, raw: "x"}).Verify(nil, nil) {
		t.Error("an unknown type verifies")
	}
}

// The keys and peer ids are the test vectors of libp2p/specs, peer-ids.
func TestKeyVectors(t *testing.T) {
	for form, want := range map[string]KeyType{
		"08011220 1ed1e8fae2c4a144b8be8fd4b47bf3d3b34b871c3cacf6010f0e42d474fce27e":   Ed25519,
		"08021221 037777e994e452c21604f91de093ce415f5432f701dd8cd1a7a6fea0e630bfca99": Secp256k1,
		"0803125b " +
			"3059301306072a8648ce3d020106082a8648ce3d03010703420004de3d300fa36ae0e8f5d530899d83abab44abf316" +
			"1f162a4bc901d8e6ecda020e8b6d5f8da30525e71d6851510c098e5c47c646a597fb4dcec034e9f77c409e62": ECDSA,
	} {
		b, err := hex.DecodeString(strings.ReplaceAll(form, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParsePublicKey(b)
		if err != nil || key.Type != want || !bytes.Equal(key.AppendProto(nil), b) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func rsaDER(tb testing.TB, bits int, e int) []byte {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return pkix(tb, &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: e})
}

func TestBadKeys(t *testing.T) {
	form := func(typ byte, data []byte) []byte {
		return (PublicKey{Type: KeyType(typ), raw: string(data)}).AppendProto(nil)
	}
	ed := newEd25519(t).data
	secp := newSecp256k1(t)
	uncompressed := func() []byte {
		k, _ := secp256k1.ParsePubKey(secp.data)
		return k.SerializeUncompressed()
	}()
	offCurve := bytes.Clone(newECDSA(t, elliptic.P256()).data)
	offCurve[len(offCurve)-1] ^= 1
	good := form(1, ed)
	for name, b := range map[string][]byte{
		"nothing":              nil,
		"no data":              {8, 1},
		"empty data":           {8, 1, 0x12, 0},
		"31 bytes":             form(1, ed[:31]),
		"33 bytes":             form(1, append(bytes.Clone(ed), 0)),
		"unknown type":         form(4, ed),
		"type 127":             form(127, ed),
		"long type":            append([]byte{8, 0x81, 0}, good[2:]...),
		"long tag":             append([]byte{0x88, 0}, good[1:]...),
		"long length":          append([]byte{8, 1, 0x12, 0xa0, 0}, ed...),
		"type missing":         good[2:],
		"wrong order":          append(bytes.Clone(good[2:]), 8, 1),
		"trailing field":       append(bytes.Clone(good), 0x18, 1),
		"type twice":           append([]byte{8, 1}, good...),
		"truncated":            good[:len(good)-1],
		"huge length":          {8, 1, 0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 1},
		"secp256k1, 65 bytes":  form(2, uncompressed),
		"secp256k1, hybrid":    form(2, append([]byte{6}, secp.data[1:]...)),
		"secp256k1, no point":  form(2, append([]byte{2}, bytes.Repeat([]byte{0xff}, 32)...)),
		"ecdsa, off the curve": form(3, offCurve),
		"ecdsa, P-224":         form(3, newECDSA(t, elliptic.P224()).data),
		"ecdsa, P-384":         form(3, newECDSA(t, elliptic.P384()).data),
		"ecdsa, trailing byte": form(3, append(newECDSA(t, elliptic.P256()).data, 0)),
		"ecdsa, an rsa key":    form(3, rsaDER(t, 2048, 65537)),
		"rsa, an ecdsa key":    form(0, newECDSA(t, elliptic.P256()).data),
		"rsa, 1024 bits":       form(0, rsaDER(t, 1024, 65537)),
		"rsa, 2047 bits":       form(0, rsaDER(t, 2047, 65537)),
		"rsa, 8193 bits":       form(0, rsaDER(t, 8193, 65537)),
		"rsa, 16384 bits":      form(0, rsaDER(t, 16384, 65537)),
		"rsa, 1 MiB":           form(0, rsaDER(t, 8<<20, 65537)),
		"rsa, junk":            form(0, make([]byte, 300)),
	} {
		began := time.Now()
		key, err := ParsePublicKey(b)
		var bad *KeyError
		if !errors.As(err, &bad) || !key.IsZero() || strings.ContainsRune(err.Error(), '\n') {
			t.Errorf("%s: %v, %v", name, key, err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("%s: refused only after %v", name, took)
		}
	}
}

func TestLargestRSAKey(t *testing.T) {
	for _, bits := range []int{MinRSABits, 3000, 4096, MaxRSABits} {
		for _, e := range []int{3, 65537, 1<<31 - 1} {
			key, err := NewPublicKey(RSA, rsaDER(t, bits, e))
			if err != nil || key.Verify([]byte("m"), make([]byte, bits/8)) {
				t.Errorf("%d bits, e %d: %v", bits, e, err)
			}
		}
	}
	// An exponent that is larger still, or even, is no key.
	for _, e := range []*big.Int{big.NewInt(2), new(big.Int).Lsh(big.NewInt(1), 4000)} {
		n := new(big.Int).Lsh(big.NewInt(1), 4095)
		inner, _ := asn1.Marshal(struct{ N, E *big.Int }{n.Add(n, big.NewInt(1)), e})
		der, _ := asn1.Marshal(struct {
			Alg struct {
				OID  asn1.ObjectIdentifier
				Null asn1.RawValue
			}
			Key asn1.BitString
		}{struct {
			OID  asn1.ObjectIdentifier
			Null asn1.RawValue
		}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}, asn1.NullRawValue},
			asn1.BitString{Bytes: inner, BitLength: 8 * len(inner)}})
		if key, err := NewPublicKey(RSA, der); err == nil && key.Verify(nil, make([]byte, 512)) {
			t.Errorf("e %v", e)
		}
	}
}

func FuzzParsePublicKey(f *testing.F) {
	for _, k := range []foreign{newEd25519(f), newSecp256k1(f), newECDSA(f, elliptic.P256()), newRSA(f, 2048)} {
		f.Add((PublicKey{Type: k.typ, raw: string(k.data)}).AppendProto(nil), k.sign(nil))
	}
	f.Add([]byte{8, 0, 0x12, 0}, []byte(nil))
	for _, b := range corpus.HugeLengths((PublicKey{Type: Ed25519, raw: string(newEd25519(f).data)}).AppendProto(nil)) {
		f.Add(b, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, b, sig []byte) {
		key, err := ParsePublicKey(b)
		if err != nil {
			if !key.IsZero() {
				t.Fatal("a key with an error")
			}
			return
		}
		if !bytes.Equal(key.AppendProto(nil), b) {
			t.Fatalf("%x is another encoding of %x", b, key.AppendProto(nil))
		}
		if id, err := transport.ParseNodeID(key.PeerID()); err != nil || id != key.NodeID() {
			t.Fatalf("%s: %v", key.PeerID(), err)
		}
		key.Verify(nil, sig)
	})
}

// The types' costs: how long a remote can keep us busy with one signature.
func BenchmarkVerify(b *testing.B) {
	for _, f := range []foreign{newEd25519(b), newSecp256k1(b), newECDSA(b, elliptic.P256()), newRSA(b, 2048)} {
		b.Run(f.typ.String(), func(b *testing.B) {
			key, err := NewPublicKey(f.typ, f.data)
			if err != nil {
				b.Fatal(err)
			}
			sig := f.sign(nil)
			b.ReportAllocs()
			for b.Loop() {
				if !key.Verify(nil, sig) {
					b.Fatal()
				}
			}
		})
	}
	b.Run("rsa-8192-worst", func(b *testing.B) {
		key, err := NewPublicKey(RSA, rsaDER(b, MaxRSABits, 1<<31-1))
		if err != nil {
			b.Fatal(err)
		}
		sig := make([]byte, MaxRSABits/8)
		for b.Loop() {
			key.Verify(nil, sig)
		}
	})
}
