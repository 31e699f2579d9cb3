package tls

import (
	"crypto/sha256"
	"sync"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// knownHalf is half of the number of certificates that are remembered.
const knownHalf = 512

// known remembers the node keys of certificates that were right, by the certificate's hash. Nodes come back with the
// same certificate, and to verify its two signatures at both ends takes about 220 µs of the 1.6 ms of processor time of
// a set-up (2026-11-30): without known, set-ups over TLS fall from 1.65 to 1.4 times go-libp2p's rate. It forgets the
// older half when there are too many. The zero value is empty.
type known struct {
	mu          sync.Mutex // guards what follows
	newer, past map[[sha256.Size]byte]handshake.PublicKey
}

// node returns the node key of a certificate: what check returns, unless the certificate is known.
func (k *known) node(raw []byte, check func() (handshake.PublicKey, error)) (handshake.PublicKey, error) {
	hash := sha256.Sum256(raw)
	k.mu.Lock()
	key, found := k.newer[hash]
	if !found {
		if key, found = k.past[hash]; found {
			k.add(hash, key)
		}
	}
	k.mu.Unlock()
	if found {
		return key, nil
	}
	key, err := check()
	if err != nil {
		return handshake.PublicKey{}, err
	}
	k.mu.Lock()
	k.add(hash, key)
	k.mu.Unlock()
	return key, nil
}

// add is called with the mutex held.
func (k *known) add(hash [sha256.Size]byte, key handshake.PublicKey) {
	if len(k.newer) >= knownHalf {
		k.newer, k.past = nil, k.newer
	}
	if k.newer == nil {
		k.newer = make(map[[sha256.Size]byte]handshake.PublicKey)
	}
	k.newer[hash] = key
}
