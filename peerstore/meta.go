package peerstore

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
	if key == "" || len(key) > MaxMetaKey || len(value) > MaxMetaValue {
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
