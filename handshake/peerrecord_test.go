package handshake_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
)

func recordAddrs() []ma.Multiaddr {
	return []ma.Multiaddr{ma.StringCast("/ip4/1.2.3.4/tcp/5"), ma.StringCast("/ip6/2a00::1/udp/5/quic-v1")}
}

// A record that a node has sealed opens to what it says; each change of a byte of it is noticed.
func TestPeerRecord(t *testing.T) {
	key := handshake.NewIdentity([32]byte{1})
	sealed, err := handshake.SealPeerRecord(t.Context(), key, 7, recordAddrs())
	if err != nil {
		t.Fatal(err)
	}
	r, err := handshake.OpenPeerRecord(sealed)
	if err != nil || r.Key != key.Public() || r.Seq != 7 || len(r.Addresses) != 2 ||
		!r.Addresses[1].Equal(recordAddrs()[1]) {
		t.Fatalf("%+v, %v", r, err)
	}
	for i := range sealed {
		b := bytes.Clone(sealed)
		b[i] ^= 1
		var wrong *handshake.RecordError
		if r, err := handshake.OpenPeerRecord(b); !errors.As(err, &wrong) {
			t.Errorf("byte %d is another: %+v, %v", i, r, err)
		}
	}
}

// record makes an envelope as it likes.
func record(t *testing.T, key, signer *handshake.NodeKey, id string, more ...byte) []byte {
	t.Helper()
	field := func(n byte, v []byte) []byte {
		return append(binary.AppendUvarint([]byte{n<<3 | 2}, uint64(len(v))), v...)
	}
	payload := append(append(field(1, []byte(id)), 2<<3, 9), more...)
	sig, err := signer.Sign(t.Context(), handshake.SignPeerRecord, handshake.AppendPeerRecord(nil, payload))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Join([][]byte{field(1, key.Public().AppendProto(nil)), field(2, []byte{3, 1}), field(3, payload),
		field(5, sig)}, nil)
}

// rawID is the peer id of an ed25519 key in bytes.
func rawID(k *handshake.NodeKey) string {
	return "\x00\x24" + string(k.Public().AppendProto(nil))
}

// What is no record, or that of another node, is refused; what is beyond our knowledge is skipped.
func TestPeerRecordsThatAreWrong(t *testing.T) {
	a, b := handshake.NewIdentity([32]byte{1}), handshake.NewIdentity([32]byte{2})
	good := record(t, a, a, rawID(a))
	for name, c := range map[string]struct {
		b  []byte
		ok bool
	}{
		"good":                   {good, true},
		"with unknown fields":    {append(record(t, a, a, rawID(a), 9<<3|1, 1, 2, 3, 4, 5, 6, 7, 8), 9<<3, 1), true},
		"with a strange address": {record(t, a, a, rawID(a), 3<<3|2, 4, 1<<3|2, 2, 0xff, 0x7f), true},
		"nothing":                {nil, false},
		"half":                   {good[:len(good)/2], false},
		"of another":             {record(t, a, a, rawID(b)), false},
		"signed by another":      {record(t, a, b, rawID(a)), false},
		"of nobody":              {record(t, a, a, ""), false},
		"a malformed record":     {record(t, a, a, rawID(a), 3<<3|2, 100), false},
		"of another type":        {bytes.Replace(good, []byte{2<<3 | 2, 2, 3, 1}, []byte{2<<3 | 2, 2, 3, 2}, 1), false},
		"too long":               {append(bytes.Clone(good), make([]byte, handshake.MaxSignedRecord)...), false},
		"of too many addresses": {record(t, a, a, rawID(a),
			bytes.Repeat([]byte{3<<3 | 2, 0}, handshake.MaxRecordAddresses+1)...), false},
	} {
		r, err := handshake.OpenPeerRecord(c.b)
		var wrong *handshake.RecordError
		if c.ok != (err == nil) || !c.ok && !errors.As(err, &wrong) || c.ok && (r.Seq != 9 || r.Key != a.Public()) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if _, err := handshake.SealPeerRecord(t.Context(), a, 1, make([]ma.Multiaddr, 200)); err == nil {
		t.Error("sealed 200 addresses")
	}
	if _, err := handshake.SealPeerRecord(t.Context(), silentIdentity{a}, 1, recordAddrs()); err == nil {
		t.Error("sealed without a signature")
	}
}

// silentIdentity does not sign.
type silentIdentity struct{ *handshake.NodeKey }

func (silentIdentity) Sign(context.Context, handshake.Purpose, []byte) ([]byte, error) {
	return nil, errors.New("the signer is away")
}

// No input makes OpenPeerRecord panic, and what it takes is sealed by the key that it names.
func FuzzOpenPeerRecord(f *testing.F) {
	key := handshake.NewIdentity([32]byte{1})
	sealed, err := handshake.SealPeerRecord(f.Context(), key, 7, recordAddrs())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add([]byte{})
	f.Add([]byte{1<<3 | 2, 200})
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := handshake.OpenPeerRecord(b); err == nil && (r.Key.IsZero() ||
			len(r.Addresses) > handshake.MaxRecordAddresses) {
			t.Errorf("%+v", r)
		}
	})
}
