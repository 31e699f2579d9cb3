package tls

import (
	"crypto/sha256"
	"sync"
)

// knownHalf is half of how many certificates are remembered.
const knownHalf = 512

// known remembers certificates whose signatures were right, by their hash: nodes come back with the same certificate, and verifying its two signatures takes a
// tenth of the processor time of a handshake. It forgets the older half when there are too many. The zero value is empty.
type known struct {
	mu          sync.Mutex // guards what follows
	newer, past map[[sha256.Size]byte]struct{}
}

// verified asks check about a certificate, unless that has passed before.
func (k *known) verified(raw []byte, check func() error) error {
	hash := sha256.Sum256(raw)
	k.mu.Lock()
	_, found := k.newer[hash]
	if !found {
		if _, found = k.past[hash]; found {
			k.add(hash)
		}
	}
	k.mu.Unlock()
	if found {
		return nil
	}
	if err := check(); err != nil {
		return err
	}
	k.mu.Lock()
	k.add(hash)
	k.mu.Unlock()
	return nil
}

// add is called with the mutex held.
func (k *known) add(hash [sha256.Size]byte) {
	if len(k.newer) >= knownHalf {
		k.newer, k.past = nil, k.newer
	}
	if k.newer == nil {
		k.newer = make(map[[sha256.Size]byte]struct{})
	}
	k.newer[hash] = struct{}{}
}
