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

// keyOfNode is the key of the node that an address names.
func keyOfNode(a transport.Address) nodeKey {
	if p, ok := a.Pack(); ok {
		return nodeKey{raw: p.Node}
	}
	return keyOf(a.ID())
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

// hash is what the other methods know a key by.
func (s *ids) hash(k *nodeKey) uint64 { return maphash.Bytes(s.seed, k.raw[:]) }

func (s *ids) shard(hash uint64) *cells { return &s.shards[hash>>56] }

// prefetch begins to load what find reads of a key.
func (s *ids) prefetch(hash uint64) { s.shard(hash).prefetch(uint32(hash)) }

// find calls same with slots that may be the key's, until it says yes.
func (s *ids) find(hash uint64, same func(slot uint32) bool) (slot uint32, ok bool) {
	return s.shard(hash).find(uint32(hash), same)
}

// put adds a key that is not there.
func (s *ids) put(hash uint64, slot uint32) {
	shard := s.shard(hash)
	if n := shard.wanted(); n > len(shard.all) && n >= largeShard {
		shard.move(s.pieces.take(n, shardArray))
	}
	shard.put(uint32(hash), slot)
	s.n++
}

// drop removes the key of a slot.
func (s *ids) drop(hash uint64, slot uint32) {
	s.shard(hash).drop(uint32(hash), slot)
	s.n--
}
