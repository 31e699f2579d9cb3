package handshake

import (
	"fmt"
	"strings"
)

// Purpose is what a signature of the node key is for. The list is closed: an Identity signs nothing else. The forms
// of the purposes exclude each other, so a signature made for one is never good for another.
type Purpose uint8

const (
	// SignChallenge signs the challenge of a SecretConnection: ChallengeSize bytes, a hash.
	SignChallenge Purpose = iota + 1
	// SignNoiseKey signs a static Noise key: NoiseKeyPrefix, then its 32 bytes.
	SignNoiseKey
	// SignCertificateKey signs the key of a TLS certificate: CertificateKeyPrefix, then the key in PKIX form.
	SignCertificateKey
	// SignResetKey makes the secret from which QUIC's stateless reset key is derived: it signs ResetKeyText. The
	// signature never leaves the process.
	SignResetKey
)

// What goes before a key in what is signed (libp2p/specs, noise and tls), and other parts of the forms.
const (
	ChallengeSize        = 32
	NoiseKeyPrefix       = "noise-libp2p-static-key:"
	CertificateKeyPrefix = "libp2p-tls-handshake:"
	ResetKeyText         = "switchyard: the key of QUIC's stateless resets, version 1"

	noiseKeySize = 32
	minPKIXKey   = 44  // bytes: ed25519
	maxPKIXKey   = 256 // one on P-256 has 91
)

// String names the purpose, as an error or a log has it.
func (p Purpose) String() string {
	switch p {
	case SignChallenge:
		return "SecretConnection challenge"
	case SignNoiseKey:
		return "Noise key"
	case SignCertificateKey:
		return "certificate key"
	case SignResetKey:
		return "QUIC reset key"
	}
	return fmt.Sprintf("purpose %d", uint8(p))
}

// Check returns an error if msg does not have the form of what is signed for p. Every Identity calls it before it
// signs.
func (p Purpose) Check(msg []byte) error {
	ok := false
	switch p {
	case SignChallenge:
		ok = len(msg) == ChallengeSize
	case SignNoiseKey:
		ok = strings.HasPrefix(string(msg), NoiseKeyPrefix) && len(msg) == len(NoiseKeyPrefix)+noiseKeySize
	case SignCertificateKey:
		n := len(msg) - len(CertificateKeyPrefix)
		ok = strings.HasPrefix(string(msg), CertificateKeyPrefix) && n >= minPKIXKey && n <= maxPKIXKey
	case SignResetKey:
		ok = string(msg) == ResetKeyText
	}
	if !ok {
		return fmt.Errorf("sign: %d bytes that are no %s", len(msg), p)
	}
	return nil
}
