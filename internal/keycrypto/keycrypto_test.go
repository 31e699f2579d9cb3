package keycrypto

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Keys and secrets are the same as the standard library's.
func TestX25519(t *testing.T) {
	for range 200 {
		private, public, err := NewX25519()
		if err != nil {
			t.Fatal(err)
		}
		ours, err := ecdh.X25519().NewPrivateKey(private[:])
		if err != nil || !bytes.Equal(ours.PublicKey().Bytes(), public[:]) {
			t.Fatalf("the public key of %x is %x: %v", private, public, err)
		}
		theirs, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		want, err := ours.ECDH(theirs.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		var shared X25519Key
		remote := X25519Key(theirs.PublicKey().Bytes())
		if !X25519(&shared, &private, &remote) || !bytes.Equal(shared[:], want) {
			t.Fatalf("%x with %x share %x, want %x", private, remote, shared, want)
		}
	}
}

// The example of RFC 7748, section 6.1.
func TestX25519Vector(t *testing.T) {
	private := X25519Key(unhex(t, "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a"))
	public := X25519Key(unhex(t, "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"))
	var shared X25519Key
	if !X25519(&shared, &private, &public) ||
		hex.EncodeToString(shared[:]) != "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742" {
		t.Errorf("%x", shared)
	}
}

// A public key of low order gives no secret, in whichever encoding.
func TestLowOrder(t *testing.T) {
	private, _, err := NewX25519()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		var shared X25519Key
		public := X25519Key(unhex(t, text))
		if X25519(&shared, &private, &public) {
			t.Errorf("%s has a secret", text)
		}
	}
}

// Keys and signatures are those of the standard library, and both verify each other's.
func TestEd25519(t *testing.T) {
	for i := range 200 {
		k, err := NewEd25519()
		if err != nil {
			t.Fatal(err)
		}
		if again := Ed25519FromSeed([Ed25519SeedSize]byte(k)); !bytes.Equal(again, k) {
			t.Fatalf("%x grows from the seed of %x", again, k)
		}
		msg := make([]byte, i)
		_, _ = rand.Read(msg)
		sig, theirs := k.Sign(msg), ed25519.Sign(ed25519.PrivateKey(k), msg)
		if !bytes.Equal(sig, theirs) || !ed25519.Verify(k.Public(), msg, sig) ||
			!VerifyEd25519(k.Public(), msg, theirs) {
			t.Fatalf("signatures %x and %x", sig, theirs)
		}
		sig[i%len(sig)] ^= 1
		if VerifyEd25519(k.Public(), msg, sig) || VerifyEd25519(k.Public(), append(msg, 1), theirs) {
			t.Fatal("a wrong signature is right")
		}
		if VerifyEd25519(k.Public()[1:], msg, theirs) || VerifyEd25519(k.Public(), msg, theirs[1:]) ||
			VerifyEd25519(nil, nil, nil) {
			t.Fatal("wrong lengths are right")
		}
	}
}

// A key of small order verifies nothing, although a signature of zeros fits the equation.
func TestSmallOrder(t *testing.T) {
	one := unhex(t, "0100000000000000000000000000000000000000000000000000000000000000") // the neutral element
	sig := append(bytes.Clone(one), make([]byte, 32)...)
	if !ed25519.Verify(one, []byte("any message"), sig) {
		t.Fatal("the signature does not fit")
	}
	if VerifyEd25519(one, []byte("any message"), sig) {
		t.Error("anyone can sign")
	}
}

// No other package imports an implementation, apart from those of certificates and of other wires' keys.
func TestOnlyHere(t *testing.T) {
	const root = "../.."
	elsewhere := map[string]string{ // import path to the packages that may have it
		"github.com/cloudflare/circl/dh/x25519":                      "internal/keycrypto",
		"github.com/oasisprotocol/curve25519-voi/primitives/x25519":  "internal/keycrypto",
		"github.com/oasisprotocol/curve25519-voi/primitives/ed25519": "internal/keycrypto",
		"github.com/oasisprotocol/curve25519-voi/primitives/merlin":  "handshake/secretconn",
		"golang.org/x/crypto/curve25519":                             "",
		"crypto/ecdh":                                                "",
		// Certificates; the blocks of the example chain; keys of CometBFT's test networks.
		"crypto/ed25519": "handshake/tls modules/chain internal/e2e",
	}
	files := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != root {
				return filepath.SkipDir // a module of its own
			}
			name := d.Name()
			isHidden := len(name) > 2 && name[0] == '.'
			if strings.HasSuffix(name, "test") || name == "node_modules" || isHidden {
				return filepath.SkipDir
			}
			return nil
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		where, err := filepath.Rel(root, filepath.Dir(path))
		for _, i := range f.Imports {
			name, _ := strconv.Unquote(i.Path.Value)
			only, known := elsewhere[name]
			if known && !slices.Contains(strings.Fields(only), filepath.ToSlash(where)) {
				t.Errorf("%s imports %s, which is for %q only", path, name, only)
			}
		}
		return err
	})
	if err != nil || files < 50 {
		t.Errorf("%d files: %v", files, err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
