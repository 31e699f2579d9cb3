package peerstore

import (
	"crypto/sha256"
	"hash/maphash"

	"github.com/switchyard-p2p/switchyard/transport"
)

// nodeKey is a node id in fixed size: the 20 bytes that 40 hex digits spell; of any other id a hash, and named is set.
type nodeKey struct {
	raw   [transport.NodeIDSize]byte
	named bool
}

func keyOf(id transport.NodeID) nodeKey {
	raw, ok := id.Bytes()
	if !ok {
		sum := sha256.Sum256([]byte(id))
		raw = [transport.NodeIDSize]byte(sum[:])
	}
	return nodeKey{raw, !ok}
}

// ids finds slots by node key, in shards that grow one at a time, so that no call waits for more than a shard.
type ids struct {
	seed   maphash.Seed
	shards [idShards]cells
	n      int
	pieces pieces[uint64]
}

const (
	idShards   = 256
	largeShard = 4096    // cells: from here on they are cut from one array for several shards
	shardArray = 1 << 17 // its cells
)

func (s *ids) hash(k *nodeKey) (shard *cells, tag uint32) {
	h := maphash.Bytes(s.seed, k.raw[:])
	return &s.shards[h>>56], uint32(h)
}

// prefetch begins to load what find reads of a key.
func (s *ids) prefetch(k *nodeKey) {
	shard, tag := s.hash(k)
	shard.prefetch(tag)
}

// find calls same with slots that may be the key's, until it says yes.
func (s *ids) find(k *nodeKey, same func(slot uint32) bool) (slot uint32, ok bool) {
	shard, tag := s.hash(k)
	return shard.find(tag, same)
}

// put adds a key that is not there.
func (s *ids) put(k *nodeKey, slot uint32) {
	shard, tag := s.hash(k)
	if n := shard.wanted(); n > len(shard.all) && n >= largeShard {
		shard.move(s.pieces.take(n, shardArray))
	}
	shard.put(tag, slot)
	s.n++
}

// drop removes the key of a slot.
func (s *ids) drop(k *nodeKey, slot uint32) {
	shard, tag := s.hash(k)
	shard.drop(tag, slot)
	s.n--
}
