package signer

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/mr-tron/base58"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// recordOf is a peer record of a peer id, with a sequence number.
func recordOf(t testing.TB, peerID string) []byte {
	t.Helper()
	id, err := base58.Decode(peerID)
	if err != nil {
		t.Fatal(err)
	}
	b := protowire.AppendTag(nil, fieldPeerID, protowire.BytesType)
	b = protowire.AppendBytes(b, id)
	b = protowire.AppendTag(b, 2, protowire.VarintType)
	return protowire.AppendVarint(b, 7)
}

// A Keeper signs what is on its list, in the forms of the list, and counts.
func TestClosedList(t *testing.T) {
	ours := recordOf(t, nodeKey.Public().PeerID())
	theirs := recordOf(t, handshake.NewIdentity([32]byte{9}).Public().PeerID())
	bytes32, key := bytes.Repeat([]byte{7}, 32), bytes.Repeat([]byte{7}, 44)
	for _, tt := range []struct {
		name   string
		r      Request
		signed string // what is signed; "" for a refusal
	}{
		{"a challenge", Request{handshake.SignChallenge, bytes32}, string(bytes32)},
		{"a short challenge", Request{handshake.SignChallenge, bytes32[:31]}, ""},
		{"a challenge that is a pubsub message", Request{handshake.SignChallenge,
			[]byte(handshake.PubsubPrefix + strings.Repeat("x", 18))}, ""},
		{"a Noise key", Request{handshake.SignNoiseKey, bytes32}, "noise-libp2p-static-key:" + string(bytes32)},
		{"a long Noise key", Request{handshake.SignNoiseKey, key}, ""},
		{"a certificate key", Request{handshake.SignCertificateKey, key}, "libp2p-tls-handshake:" + string(key)},
		{"a short certificate key", Request{handshake.SignCertificateKey, bytes32}, ""},
		{"our peer record", Request{handshake.SignPeerRecord, ours},
			"\x12libp2p-peer-record\x02\x03\x01" + string([]byte{byte(len(ours))}) + string(ours)},
		{"another's peer record", Request{handshake.SignPeerRecord, theirs}, ""},
		{"ours, then another's", Request{handshake.SignPeerRecord, append(bytes.Clone(ours), theirs...)}, ""},
		{"half a peer record", Request{handshake.SignPeerRecord, ours[:20]}, ""},
		{"a large peer record", Request{handshake.SignPeerRecord,
			append(bytes.Clone(ours), make([]byte, handshake.MaxPeerRecord)...)}, ""},
		{"no peer record", Request{handshake.SignPeerRecord, nil}, ""},
		{"a pubsub message", Request{handshake.SignPubsub, bytes32}, ""},
		{"nothing", Request{}, ""},
		{"something else", Request{handshake.SignPubsub + 1, bytes32}, ""},
		{"far off", Request{255, bytes32}, ""},
	} {
		k, err := NewKeeper(t.Context(), nodeKey, Default()...)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := k.Sign(t.Context(), tt.r)
		counts := k.Counts()
		if tt.signed == "" {
			var refused *RefusedError
			if !errors.As(err, &refused) || refused.Purpose != tt.r.Purpose || sig != nil {
				t.Errorf("%s: %v", tt.name, err)
			}
			if len(counts.Refused) != 1 || len(counts.Signed) != 0 {
				t.Errorf("%s: %+v", tt.name, counts)
			}
			continue
		}
		if err != nil || !nodeKey.Public().Verify([]byte(tt.signed), sig) {
			t.Errorf("%s: %v", tt.name, err)
		}
		if counts.Signed[tt.r.Purpose] != 1 || len(counts.Refused) != 0 {
			t.Errorf("%s: %+v", tt.name, counts)
		}
	}
	k, err := NewKeeper(t.Context(), nodeKey, append(Default(), handshake.SignPubsub)...)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := k.Sign(t.Context(), Request{handshake.SignPubsub, []byte("hello")})
	if err != nil || !nodeKey.Public().Verify([]byte("libp2p-pubsub:hello"), sig) {
		t.Errorf("pubsub: %v", err)
	}
	if _, err := NewKeeper(t.Context(), nodeKey, 0); err == nil {
		t.Error("a keeper for no purpose")
	}
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"unix:///run/switchyard/signer.sock":  "",
		"unix:///run/../run/signer.sock":      "unix:///run/signer.sock",
		"tls://signer.example:26671":          "",
		"tls://[::1]:1":                       "",
		"tls://127.0.0.1:0":                   "",
		"tcp://127.0.0.1:1":                   "plain",
		"127.0.0.1:1":                         "want unix://",
		"unix://signer.sock":                  "absolute",
		"unix:///" + strings.Repeat("x", 104): "at most",
		"tls://host":                          "host:port",
		"tls://host:70000":                    "port",
		"ssh://host:1":                        "unknown scheme",
		"":                                    "want unix://",
	} {
		a, err := ParseAddress(text)
		switch {
		case err != nil && (want == "" || !strings.Contains(err.Error(), want)), err == nil && want == "":
			if err != nil || a.String() != text {
				t.Errorf("%q: %v, %v", text, a, err)
			}
		case err == nil && a.String() != want:
			t.Errorf("%q: %v", text, a)
		}
	}
}
