package secretconn

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"unsafe"

	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
)

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// TestDeriveKeysGolden checks the key derivation against values that CometBFT's own test uses
// (v0.40.0, p2p/conn/testdata/TestDeriveSecretsAndChallengeGolden.golden).
func TestDeriveKeysGolden(t *testing.T) {
	for _, tc := range []struct {
		shared        string
		weAreLower    bool
		receive, send string
	}{
		{"9fe4a5a73df12dbd8659b1d9280873fe993caefec6b0ebc2686dd65027148e03", true,
			"80a83ad6afcb6f8175192e41973aed31dd75e3c106f813d986d9567a4865eb2f",
			"96362a04f628a0666d9866147326898bb0847b8db8680263ad19e6336d4eed9e"},
		{"0716764b370d543fee692af03832c16410f0a56e4ddb79604ea093b10bb6f654", false,
			"84f2b1e8658456529a2c324f46c3406c3c6fecd5fbbf9169f60bed8956a8b03d",
			"cba357ae33d7234520d5742102a2a6cdb39b7db59c14a58fa8aadd310127630f"},
		{"358dd73aae2c5b7b94b57f950408a3c681e748777ecab2063c8ca51a63588fa8", false,
			"c2e2f664c8ee561af8e1e30553373be4ae23edecc8c6bd762d44b2afb7f2a037",
			"d1563f428ac1c023c15d8082b2503157fe9ecbde4fb3493edd69ebc299b4970c"},
		{"0958308bdb583e639dd399a98cd21077d834b4b5e30771275a5a73a62efcc7e0", false,
			"523c0ae97039173566f7ab4b8f271d8d78feef5a432d618e58ced4f80f7c1696",
			"c1b743401c6e4508e62b8245ea7c3252bbad082e10af10e80608084d63877977"},
		{"d93d134e72f58f177642ac30f36b2d3cd4720aa7e60feb1296411a9009cf4524", false,
			"47a427bcc1ef6f0ce31dbf343bc8bbf49554b4dd1e2330fd97d0df23ecdbba10",
			"73e23adb7801179349ecf9c8cdf64d71d64a9f1145ba6730e5d029f99eaf8840"},
		{"6104474c791cda24d952b356fb41a5d273c0ce6cc87d270b1701d0523cd5aa13", true,
			"1cb4397b9e478430321af4647da2ccbef62ff8888542d31cca3f626766c8080f",
			"673b23318826bd31ad1a4995c6e5095c4b092f5598aa0a96381a3e977bc0eaf9"},
	} {
		shared := keycrypto.X25519Key(unhex(t, tc.shared))
		receive, send, err := deriveKeys(&shared, tc.weAreLower)
		if err != nil || hex.EncodeToString(receive) != tc.receive || hex.EncodeToString(send) != tc.send {
			t.Errorf("%s, lower %t: receive %x, send %x, %v", tc.shared, tc.weAreLower, receive, send, err)
		}
	}
}

// TestDeriveChallenge checks the challenge against the reference transcript of naive_test.go.
func TestDeriveChallenge(t *testing.T) {
	for i := range byte(8) {
		lower, upper, shared := bytes.Repeat([]byte{i}, 32), bytes.Repeat([]byte{0xf0 | i}, 32),
			bytes.Repeat([]byte{0x50 ^ i}, 32)
		m := newNaiveMerlin(transcriptLabel)
		m.append("EPHEMERAL_LOWER_PUBLIC_KEY", lower)
		m.append("EPHEMERAL_UPPER_PUBLIC_KEY", upper)
		m.append("DH_SECRET", shared)
		want := m.challenge("SECRET_CONNECTION_MAC", 32)

		l, u, s := keycrypto.X25519Key(lower), keycrypto.X25519Key(upper), keycrypto.X25519Key(shared)
		if got := deriveChallenge(&s, &l, &u, true); !bytes.Equal(got[:], want) {
			t.Errorf("lower end: %x, want %x", got, want)
		}
		if got := deriveChallenge(&s, &u, &l, false); !bytes.Equal(got[:], want) {
			t.Errorf("upper end: %x, want %x", got, want)
		}
	}
}

// lowOrderPoints are the encodings of the points of Curve25519 and its twist whose order divides 8
// (cr.yp.to/ecdh.html), the non-canonical encodings among them. X25519 ignores the top bit, so each counts twice.
var lowOrderPoints = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
	"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

func TestLowOrderPoints(t *testing.T) {
	for _, text := range lowOrderPoints {
		for _, topBit := range []byte{0, 0x80} {
			remote := keycrypto.X25519Key(unhex(t, text))
			remote[31] |= topBit
			private, local, err := keycrypto.NewX25519()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := deriveSecrets(&private, &local, &remote); !errors.Is(err, ErrLowOrderKey) {
				t.Errorf("%x: %v, want ErrLowOrderKey", remote, err)
			}
		}
	}
}

func TestIdleSize(t *testing.T) {
	if size := unsafe.Sizeof(Conn{}); size > 2048 {
		t.Errorf("a Conn has %d bytes, so it does not fit the allocator's class of 2048", size)
	}
}
