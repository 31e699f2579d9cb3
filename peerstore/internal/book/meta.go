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
func (b *Book) SetMeta(key string, value []byte) { b.RestoreMeta(key, value) }

// RestoreMeta is SetMeta that also reports whether the value is within the bounds.
func (b *Book) RestoreMeta(key string, value []byte) bool {
	if key == "" || len(key) > peerstore.MaxMetaKey || len(value) > peerstore.MaxMetaValue {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.meta[key]; !known && len(b.meta) >= peerstore.MaxMetaValues {
		return value == nil
	}
	if value == nil {
		delete(b.meta, key)
	} else {
		b.meta[key] = append([]byte{}, value...)
	}
	return true
}
