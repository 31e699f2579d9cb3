package services

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/ipfs/go-datastore"
	dssync "github.com/ipfs/go-datastore/sync"
	record "github.com/libp2p/go-libp2p-record"
)

// RecordsError reports that the node stores as many records of others as it may.
type RecordsError struct {
	Key  string // of the configuration
	Most int64
}

func (e *RecordsError) Error() string {
	return fmt.Sprintf("no room for another record: %s allows %d", e.Key, e.Most)
}

// boundedStore keeps records in memory, within bounds.
type boundedStore struct {
	datastore.Batching
	records int
	bytes   int64

	mu      sync.Mutex // guards what follows, and the order of changes below
	sizes   map[datastore.Key]int
	used    int64
	refused uint64
}

func newBoundedStore(records int, bytes int64) *boundedStore {
	return &boundedStore{Batching: dssync.MutexWrap(datastore.NewMapDatastore()), records: records, bytes: bytes,
		sizes: map[datastore.Key]int{}}
}

// Put implements datastore.Write. Its error is a *RecordsError if there is no room.
func (b *boundedStore) Put(ctx context.Context, key datastore.Key, value []byte) error {
	size := len(key.String()) + len(value)
	b.mu.Lock()
	defer b.mu.Unlock()
	old, there := b.sizes[key]
	switch {
	case !there && len(b.sizes) >= b.records:
		b.refused++
		return &RecordsError{"services.dht.max_records", int64(b.records)}
	case b.used-int64(old)+int64(size) > b.bytes:
		b.refused++
		return &RecordsError{"services.dht.max_record_memory", b.bytes}
	}
	if err := b.Batching.Put(ctx, key, value); err != nil {
		return err
	}
	b.sizes[key] = size
	b.used += int64(size - old)
	return nil
}

// Delete implements datastore.Write.
func (b *boundedStore) Delete(ctx context.Context, key datastore.Key) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.Batching.Delete(ctx, key); err != nil {
		return err
	}
	b.used -= int64(b.sizes[key])
	delete(b.sizes, key)
	return nil
}

// Batch implements datastore.Batching.
func (b *boundedStore) Batch(context.Context) (datastore.Batch, error) {
	return datastore.NewBasicBatch(b), nil
}

// stats returns how many records there are, their bytes, and how many were refused.
func (b *boundedStore) stats() (records int, bytes int64, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.sizes), b.used, b.refused
}

// hashSpace is the first part of the keys of values that are named by their hash.
const hashSpace = "sha256"

// HashKey returns the key of a value that is named by its hash, /sha256/HEX. All nodes of a table take such a value,
// and nobody can put another one in its place.
func HashKey(value []byte) string {
	sum := sha256.Sum256(value)
	return "/" + hashSpace + "/" + hex.EncodeToString(sum[:])
}

// hashed validates values that are named by their hash.
type hashed struct{}

var _ record.Validator = hashed{}

// Validate implements record.Validator.
func (hashed) Validate(key string, value []byte) error {
	if strings.TrimPrefix(key, "/") != strings.TrimPrefix(HashKey(value), "/") {
		return errors.New("the key is not the hash of the value")
	}
	return nil
}

// Select implements record.Validator.
func (hashed) Select(string, [][]byte) (int, error) { return 0, nil }
