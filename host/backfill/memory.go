package backfill

import (
	"context"
	"sync"
)

// Memory is a Store in memory.
type Memory struct {
	mu    sync.RWMutex
	items map[uint64][]byte
	spans Spans
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{items: map[uint64][]byte{}} }

// Has implements Store.
func (m *Memory) Has(_ context.Context, height uint64) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, has := m.items[height]
	return has, nil
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, height uint64) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	item, has := m.items[height]
	if !has {
		return nil, ErrNoHeight
	}
	return item, nil
}

// Put implements Store.
func (m *Memory) Put(_ context.Context, height uint64, item []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.items[height] = item
	m.spans = m.spans.Add(height)
	return nil
}

// Range implements Store.
func (m *Memory) Range(_ context.Context, from, to uint64) ([]Span, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.spans.Within(from, to), nil
}

// Prune forgets all heights below height.
func (m *Memory) Prune(height uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if height == 0 {
		return
	}
	for _, s := range m.spans.Within(0, height-1) {
		for h := s.From; h <= s.To; h++ {
			delete(m.items, h)
		}
	}
	m.spans = m.spans.Within(height, ^uint64(0))
}
