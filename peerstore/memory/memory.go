// Package memory is a peer store in memory alone.
package memory

import (
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/internal/book"
)

// New makes an empty store.
func New(limits peerstore.Limits) peerstore.Store { return book.New(limits, 0) }

// NewSeeded makes an empty store whose random choices, and the key of its buckets, follow from seed: for tests and
// simulations that must repeat. Zero draws a seed.
func NewSeeded(limits peerstore.Limits, seed uint64) peerstore.Store { return book.New(limits, seed) }
