// Package memory is a peer store that keeps nothing over a restart: the book alone.
package memory

import "github.com/switchyard-p2p/switchyard/peerstore"

// New makes an empty store.
func New(limits peerstore.Limits) peerstore.Store { return peerstore.NewBook(limits, 0) }
