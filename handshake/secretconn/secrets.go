package secretconn

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"

	"github.com/oasisprotocol/curve25519-voi/primitives/merlin"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
)

// Labels of the key derivation (CometBFT p2p/conn/secret_connection.go).
const (
	transcriptLabel = "TENDERMINT_SECRET_CONNECTION_TRANSCRIPT_HASH"
	lowerKeyLabel   = "EPHEMERAL_LOWER_PUBLIC_KEY"
	upperKeyLabel   = "EPHEMERAL_UPPER_PUBLIC_KEY"
	secretLabel     = "DH_SECRET"
	challengeLabel  = "SECRET_CONNECTION_MAC"
	keysInfo        = "TENDERMINT_SECRET_CONNECTION_KEY_AND_CHALLENGE_GEN"
)

const challengeSize = handshake.ChallengeSize

// secrets is what both ends derive from the exchange of ephemeral keys.
type secrets struct {
	receive, send cipher.AEAD
	challenge     [challengeSize]byte // what both ends sign
}

// deriveSecrets runs the exchange with our ephemeral key pair and the remote's ephemeral key.
func deriveSecrets(private, local, remote *keycrypto.X25519Key) (*secrets, error) {
	if *local == *remote {
		return nil, ErrReflected
	}
	shared := new(keycrypto.X25519Key)
	defer clear(shared[:])
	if !keycrypto.X25519(shared, private, remote) {
		return nil, ErrLowOrderKey
	}
	weAreLower := bytes.Compare(local[:], remote[:]) < 0
	s := &secrets{challenge: deriveChallenge(shared, local, remote, weAreLower)}

	receiveKey, sendKey, err := deriveKeys(shared, weAreLower)
	if err != nil {
		return nil, err
	}
	defer clear(receiveKey)
	defer clear(sendKey)
	if s.receive, err = chacha20poly1305.New(receiveKey); err != nil {
		return nil, err
	}
	if s.send, err = chacha20poly1305.New(sendKey); err != nil {
		return nil, err
	}
	return s, nil
}

// deriveChallenge hashes the exchange as a merlin transcript.
func deriveChallenge(shared, local, remote *keycrypto.X25519Key, weAreLower bool) (challenge [challengeSize]byte) {
	lower, upper := local, remote
	if !weAreLower {
		lower, upper = remote, local
	}
	t := merlin.NewTranscript(transcriptLabel)
	t.AppendMessage(lowerKeyLabel, lower[:])
	t.AppendMessage(upperKeyLabel, upper[:])
	t.AppendMessage(secretLabel, shared[:])
	t.ExtractBytes(challenge[:], challengeLabel)
	return challenge
}

// deriveKeys expands the shared secret to a key for each direction: the first is what the end with the lower ephemeral
// key receives with.
func deriveKeys(shared *keycrypto.X25519Key, weAreLower bool) (receive, send []byte, err error) {
	const size = chacha20poly1305.KeySize
	keys, err := hkdf.Key(sha256.New, shared[:], nil, keysInfo, 2*size)
	if err != nil {
		return nil, nil, err
	}
	receive, send = keys[:size], keys[size:]
	if !weAreLower {
		receive, send = send, receive
	}
	return receive, send, nil
}
