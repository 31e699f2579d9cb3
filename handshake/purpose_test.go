package handshake

import (
	"strings"
	"testing"
)

// A message has the form of one purpose at most, and a NodeKey signs no other.
func TestPurposes(t *testing.T) {
	purposes := []Purpose{SignChallenge, SignNoiseKey, SignCertificateKey, SignResetKey}
	long := strings.Repeat("x", 300)
	for msg, want := range map[string]Purpose{
		long[:32]:                          SignChallenge,
		long[:31]:                          0,
		long[:33]:                          0,
		"":                                 0,
		NoiseKeyPrefix + long[:32]:         SignNoiseKey,
		NoiseKeyPrefix + long[:31]:         0,
		NoiseKeyPrefix + long[:33]:         0,
		"x" + NoiseKeyPrefix + long[:31]:   0,
		CertificateKeyPrefix:               0,
		CertificateKeyPrefix + long[:11]:   SignChallenge, // 32 bytes
		CertificateKeyPrefix + long[:44]:   SignCertificateKey,
		CertificateKeyPrefix + long[:91]:   SignCertificateKey,
		CertificateKeyPrefix + long[:257]:  0,
		ResetKeyText:                       SignResetKey,
		ResetKeyText + "x":                 0,
		strings.ToUpper(ResetKeyText[:32]): SignChallenge,
	} {
		for _, p := range purposes {
			sig, err := ourKey.Sign(t.Context(), p, []byte(msg))
			if (err == nil) != (p == want) || err == nil && !ourKey.Public().Verify([]byte(msg), sig) {
				t.Errorf("%.60q as %s: %v", msg, p, err)
			}
		}
	}
	for _, p := range []Purpose{0, SignResetKey + 1} {
		if _, err := ourKey.Sign(t.Context(), p, []byte(long[:32])); err == nil ||
			!strings.Contains(err.Error(), "purpose") {
			t.Errorf("%s: %v", p, err)
		}
	}
}
