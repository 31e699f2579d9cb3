package handshake

import (
	"bytes"
	"encoding/binary"
	"fmt"
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
	// SignPeerRecord signs a libp2p peer record in its envelope: PeerRecordPrefix, then the record behind its length
	// (AppendPeerRecord).
	SignPeerRecord
	// SignPubsub signs a message of libp2p's pubsub: PubsubPrefix, then the message without signature and key.
	SignPubsub
)

// What goes before the rest in what is signed, and other parts of the forms (libp2p/specs: noise, tls, pubsub; RFC
// 0002 and 0003 there for peer records).
const (
	ChallengeSize        = 32
	NoiseKeyPrefix       = "noise-libp2p-static-key:"
	CertificateKeyPrefix = "libp2p-tls-handshake:"
	// PeerRecordPrefix is the domain and the type of a peer record's envelope, each behind its length.
	PeerRecordPrefix = "\x12libp2p-peer-record\x02\x03\x01"
	PubsubPrefix     = "libp2p-pubsub:"

	MaxPeerRecord = 64 << 10 // bytes of a peer record
	MaxPubsub     = 1 << 20  // bytes of a pubsub message

	noiseKeySize = 32
	minPKIXKey   = 44  // bytes: ed25519
	maxPKIXKey   = 256 // one on P-256 has 91
)

// prefixes are those of the purposes. No challenge begins with one: it is a hash, which would by chance once in 2^112.
var prefixes = [...]string{NoiseKeyPrefix, CertificateKeyPrefix, PeerRecordPrefix, PubsubPrefix}

// Purposes returns all purposes.
func Purposes() []Purpose {
	return []Purpose{SignChallenge, SignNoiseKey, SignCertificateKey, SignPeerRecord, SignPubsub}
}

// String names the purpose, as an error or a log has it.
func (p Purpose) String() string {
	switch p {
	case SignChallenge:
		return "SecretConnection challenge"
	case SignNoiseKey:
		return "Noise key"
	case SignCertificateKey:
		return "certificate key"
	case SignPeerRecord:
		return "peer record"
	case SignPubsub:
		return "pubsub message"
	}
	return fmt.Sprintf("purpose %d", uint8(p))
}

// AppendPeerRecord appends the message whose signature puts a peer record in its envelope.
func AppendPeerRecord(dst, record []byte) []byte {
	dst = append(dst, PeerRecordPrefix...)
	dst = binary.AppendUvarint(dst, uint64(len(record)))
	return append(dst, record...)
}

// Check returns an error if msg does not have the form of what is signed for p. Every Identity calls it before it
// signs.
func (p Purpose) Check(msg []byte) error {
	_, err := p.Body(msg)
	return err
}

// Body returns the part of msg that its purpose leaves open: all of a challenge, and what follows the prefix of
// everything else. It fails as Check does. The body shares msg's memory.
func (p Purpose) Body(msg []byte) ([]byte, error) {
	var body []byte
	ok := false
	switch p { // in one function: it runs in every handshake over comet
	case SignChallenge:
		body, ok = msg, len(msg) == ChallengeSize
		for _, prefix := range prefixes {
			ok = ok && !bytes.HasPrefix(msg, []byte(prefix))
		}
	case SignNoiseKey:
		body, ok = bytes.CutPrefix(msg, []byte(NoiseKeyPrefix))
		ok = ok && len(body) == noiseKeySize
	case SignCertificateKey:
		body, ok = bytes.CutPrefix(msg, []byte(CertificateKeyPrefix))
		ok = ok && len(body) >= minPKIXKey && len(body) <= maxPKIXKey
	case SignPeerRecord:
		if body, ok = bytes.CutPrefix(msg, []byte(PeerRecordPrefix)); ok {
			size, n := binary.Uvarint(body)
			ok = n > 0 && size > 0 && size <= MaxPeerRecord && size == uint64(len(body)-n) &&
				n == len(binary.AppendUvarint(nil, size)) // the shortest form, the only one that is made
			body = body[max(n, 0):]
		}
	case SignPubsub:
		body, ok = bytes.CutPrefix(msg, []byte(PubsubPrefix))
		ok = ok && len(body) > 0 && len(body) <= MaxPubsub
	}
	if !ok {
		return nil, fmt.Errorf("sign: %d bytes that are no %s", len(msg), p)
	}
	return body, nil
}

// Message is the inverse of Body: it returns what is signed for p with this body, or an error if p allows no such body.
func (p Purpose) Message(body []byte) ([]byte, error) {
	var msg []byte
	switch p {
	case SignChallenge:
		msg = body
	case SignNoiseKey:
		msg = append([]byte(NoiseKeyPrefix), body...)
	case SignCertificateKey:
		msg = append([]byte(CertificateKeyPrefix), body...)
	case SignPeerRecord:
		msg = AppendPeerRecord(nil, body)
	case SignPubsub:
		msg = append([]byte(PubsubPrefix), body...)
	}
	return msg, p.Check(msg)
}
