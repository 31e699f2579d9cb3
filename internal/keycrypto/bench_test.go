package keycrypto

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"testing"

	circl "github.com/cloudflare/circl/dh/x25519"
	voied "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/x25519"
)

// alternative is one implementation of an operation.
type alternative struct {
	name string
	run  func()
}

func compare(b *testing.B, alternatives ...alternative) {
	for _, a := range alternatives {
		b.Run(a.name, func(b *testing.B) {
			for b.Loop() {
				a.run()
			}
		})
	}
}

func BenchmarkX25519Generate(b *testing.B) {
	compare(b,
		alternative{"std", func() {
			k, _ := ecdh.X25519().GenerateKey(rand.Reader)
			_ = k.PublicKey()
		}},
		alternative{"voi", func() { _, _, _ = voi.GenerateKey(nil) }},
		alternative{"circl", func() {
			var public, private circl.Key
			_, _ = rand.Read(private[:])
			circl.KeyGen(&public, &private)
		}},
	)
}

func BenchmarkX25519Exchange(b *testing.B) {
	ours, _ := ecdh.X25519().GenerateKey(rand.Reader)
	other, _ := ecdh.X25519().GenerateKey(rand.Reader)
	theirs := other.PublicKey()
	private, public := [32]byte(ours.Bytes()), [32]byte(theirs.Bytes())
	var shared [32]byte
	compare(b,
		alternative{"std", func() { _, _ = ours.ECDH(theirs) }},
		alternative{"voi", func() { _, _ = voi.X25519(private[:], public[:]) }},
		alternative{"circl", func() {
			circl.Shared((*circl.Key)(&shared), (*circl.Key)(&private), (*circl.Key)(&public))
		}},
	)
}

func BenchmarkEd25519Sign(b *testing.B) {
	_, private, _ := ed25519.GenerateKey(rand.Reader)
	msg := make([]byte, 56)
	compare(b,
		alternative{"std", func() { ed25519.Sign(private, msg) }},
		alternative{"voi", func() { voied.Sign(voied.PrivateKey(private), msg) }},
	)
}

func BenchmarkEd25519Verify(b *testing.B) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	msg := make([]byte, 56)
	sig := ed25519.Sign(private, msg)
	compare(b,
		alternative{"std", func() { ed25519.Verify(public, msg, sig) }},
		alternative{"voi", func() { voied.Verify(voied.PublicKey(public), msg, sig) }},
	)
}
