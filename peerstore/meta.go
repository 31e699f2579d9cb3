package peerstore

import (
	"encoding/binary"
	"strings"
)

// Bounds of the small named values.
const (
	MaxMetaKey    = 128      // bytes
	MaxMetaValue  = 64 << 10 // bytes
	MaxMetaValues = 1024
)

// ownMeta begins the names of what the store keeps for itself.
const ownMeta = "peerstore/"

// Meta returns a copy of a small named value; nil when there is none.
func (b *Book) Meta(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v, ok := b.meta[key]; ok {
		return append([]byte{}, v...)
	}
	return nil
}

// SetMeta keeps a copy of a small named value: see Store.
func (b *Book) SetMeta(key string, value []byte) {
	if key == "" || len(key) > MaxMetaKey || len(value) > MaxMetaValue || strings.HasPrefix(key, ownMeta) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, known := b.meta[key]
	switch {
	case value == nil:
		delete(b.meta, key)
	case known || len(b.meta) < MaxMetaValues:
		b.meta[key] = append([]byte{}, value...)
	default:
		return
	}
	b.journal.value(key)
}

// useKey takes over the buckets' key that was kept. The book must be empty.
func (b *Book) useKey(value []byte) bool {
	if len(value) != 16 || b.known() > 0 {
		return false
	}
	b.key = sipKey{binary.BigEndian.Uint64(value), binary.BigEndian.Uint64(value[8:])}
	return true
}
