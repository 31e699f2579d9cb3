package book

import (
	"bytes"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Meta returns a copy of a small named value: see peerstore.Store.
func (b *Book) Meta(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.meta[key])
}

// SetMeta keeps a copy of a small named value: see peerstore.Store.
func (b *Book) SetMeta(key string, value []byte) {
	if key == "" || len(key) > peerstore.MaxMetaKey || len(value) > peerstore.MaxMetaValue {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if value == nil {
		delete(b.meta, key)
	} else if _, known := b.meta[key]; known || len(b.meta) < peerstore.MaxMetaValues {
		b.meta[key] = append([]byte{}, value...)
	}
}
