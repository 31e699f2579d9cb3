package noise

import (
	"bufio"
	"bytes"
	"crypto/ecdh"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// vector is one of the published test vectors of the pattern.
type vector map[string][]byte

func vectors(t *testing.T) (all []vector) {
	f, err := os.Open("testdata/xx.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), "=")
		switch {
		case !ok:
		case name == "handshake":
			if value != noiseName {
				t.Fatalf("a vector of %s", value)
			}
			all = append(all, vector{})
		default:
			b, err := hex.DecodeString(value)
			if err != nil {
				t.Fatal(err)
			}
			all[len(all)-1][name] = b
		}
	}
	return all
}

func pairOf(t *testing.T, private []byte) (k keyPair) {
	if copy(k.private[:], private) != keySize {
		t.Fatal("no key")
	}
	secret, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	k.public = [keySize]byte(secret.PublicKey().Bytes())
	return k
}

func TestVectors(t *testing.T) {
	used := 0
	for _, v := range vectors(t) {
		dialer := &xx{symmetric: initial, e: pairOf(t, v["gen_init_ephemeral"]), s: pairOf(t, v["init_static"])}
		listener := &xx{symmetric: initial, e: pairOf(t, v["gen_resp_ephemeral"]), s: pairOf(t, v["resp_static"])}
		if prologue := v["prologue"]; prologue != nil {
			for _, x := range []*xx{dialer, listener} { // libp2p has none, nor has initial
				copy(x.h[:], noiseName)
				x.mixHash(prologue)
			}
		}
		step := func(n string, write func(dst, payload []byte) ([]byte, error), read func([]byte) ([]byte, error)) {
			t.Helper()
			payload, sealed := v["msg_"+n+"_payload"], v["msg_"+n+"_ciphertext"]
			got, err := write([]byte("before"), payload)
			if err != nil || string(got[:6]) != "before" || !bytes.Equal(got[6:], sealed) {
				t.Fatalf("message %s: %x, %v, want %x", n, got, err, sealed)
			}
			plain, err := read(got[6:])
			if err != nil || !bytes.Equal(plain, payload) {
				t.Fatalf("message %s: read %x, %v, want %x", n, plain, err, payload)
			}
		}
		step("0", dialer.writeE, listener.readE)
		step("1", listener.writeES, dialer.readES)
		step("2", dialer.writeS, listener.readS)
		if dialer.rs != listener.s.public || listener.rs != dialer.s.public {
			t.Fatal("static keys")
		}
		var a, b, c, d cipherState
		dialer.split(&a, &b)
		listener.split(&c, &d)
		open := func(s *cipherState) func([]byte) ([]byte, error) {
			return func(msg []byte) ([]byte, error) { return s.open(msg[:0], msg, nil) }
		}
		seal := func(s *cipherState) func(dst, p []byte) ([]byte, error) {
			return func(dst, p []byte) ([]byte, error) { return s.seal(dst, p, nil) }
		}
		step("3", seal(&a), open(&c))
		step("4", seal(&d), open(&b))
		used++
	}
	if used < 4 {
		t.Errorf("only %d vectors", used)
	}
}
