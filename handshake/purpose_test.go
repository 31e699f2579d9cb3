package handshake

import (
	"bytes"
	"strings"
	"testing"
)

// A message has the form of one purpose at most, and a NodeKey signs no other.
func TestPurposes(t *testing.T) {
	long := strings.Repeat("x", 300)
	record := string(AppendPeerRecord(nil, []byte(long)))
	for msg, want := range map[string]Purpose{
		long[:32]:                        SignChallenge,
		long[:31]:                        0,
		long[:33]:                        0,
		"":                               0,
		NoiseKeyPrefix + long[:32]:       SignNoiseKey,
		NoiseKeyPrefix + long[:31]:       0,
		NoiseKeyPrefix + long[:33]:       0,
		"x" + NoiseKeyPrefix + long[:31]: 0,
		// of 32 bytes, as a challenge is
		NoiseKeyPrefix + long[:8]:                       0,
		CertificateKeyPrefix + long[:11]:                0,
		PubsubPrefix + long[:18]:                        SignPubsub,
		string(AppendPeerRecord(nil, []byte(long[:9]))): SignPeerRecord,

		CertificateKeyPrefix:                         0,
		CertificateKeyPrefix + long[:44]:             SignCertificateKey,
		CertificateKeyPrefix + long[:91]:             SignCertificateKey,
		CertificateKeyPrefix + long[:257]:            0,
		record:                                       SignPeerRecord,
		record + "x":                                 0,
		record[:len(record)-1]:                       0,
		PeerRecordPrefix:                             0,
		PeerRecordPrefix + "\x00":                    0,
		PeerRecordPrefix + "\x81\x00x":               0, // a length of one byte in two
		PeerRecordPrefix + strings.Repeat("\xff", 9): 0,
		PubsubPrefix:                                 0,
		PubsubPrefix + long:                          SignPubsub,
		"switchyard: the key of QUIC's stateless resets, version 1": 0, // what nodes signed once
	} {
		for _, p := range Purposes() {
			sig, err := ourKey.Sign(t.Context(), p, []byte(msg))
			if (err == nil) != (p == want) || err == nil && !ourKey.Public().Verify([]byte(msg), sig) {
				t.Errorf("%.60q as %s: %v", msg, p, err)
			}
		}
	}
	for _, p := range []Purpose{0, SignPubsub + 1} {
		if _, err := ourKey.Sign(t.Context(), p, []byte(long[:32])); err == nil ||
			!strings.Contains(err.Error(), "purpose") {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// FuzzPurposes builds the message of a body and takes it apart again, for each purpose: no message is good for two.
func FuzzPurposes(f *testing.F) {
	for _, p := range prefixes {
		for _, n := range []int{0, 8, 11, 18, 32, 44, 300} {
			f.Add([]byte(p + strings.Repeat("x", n)))
		}
	}
	f.Add([]byte(strings.Repeat("x", ChallengeSize)))
	f.Add(AppendPeerRecord(nil, []byte("record")))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, p := range append(Purposes(), 0, SignPubsub+1) {
			msg, err := p.Message(b)
			if err != nil {
				continue
			}
			body, err := p.Body(msg)
			if err != nil || !bytes.Equal(body, b) {
				t.Fatalf("%s: %q came back as %q: %v", p, b, body, err)
			}
			for _, other := range Purposes() {
				if other != p && other.Check(msg) == nil {
					t.Fatalf("%q is both a %s and a %s", msg, p, other)
				}
			}
		}
		for _, p := range Purposes() {
			if body, err := p.Body(b); err == nil {
				if msg, err := p.Message(body); err != nil || !bytes.Equal(msg, b) {
					t.Fatalf("%s: %q became %q: %v", p, b, msg, err)
				}
			}
		}
	})
}
