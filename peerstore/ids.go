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

// ids finds slots by node key: open addressing with linear probing, in shards that grow one at a time, so that no call waits for more than a
// shard. A cell is 0, or 32 bits of the key's hash and the slot plus one. The hash has a secret seed, as remotes choose the keys.
type ids struct {
	seed   maphash.Seed
	shards [idShards]idShard
	n      int
}

type idShard struct {
	cells []uint64 // a power of two
	n     int
}

const (
	idShards  = 256
	firstIDs  = 8 // cells of a shard at first
	fullShard = 7 // eighths of a shard's cells that may be taken
)

func (s *ids) hash(k *nodeKey) (shard *idShard, tag uint32) {
	h := maphash.Bytes(s.seed, k.raw[:])
	return &s.shards[h>>56], uint32(h)
}

// find calls same with slots that may be the key's, until it says yes.
func (s *ids) find(k *nodeKey, same func(slot uint32) bool) (slot uint32, ok bool) {
	shard, tag := s.hash(k)
	if shard.n == 0 {
		return 0, false
	}
	mask := uint32(len(shard.cells) - 1)
	for i := tag & mask; ; i = (i + 1) & mask {
		c := shard.cells[i]
		if c == 0 {
			return 0, false
		}
		if uint32(c>>32) == tag && same(uint32(c)-1) {
			return uint32(c) - 1, true
		}
	}
}

// put adds a key that is not there.
func (s *ids) put(k *nodeKey, slot uint32) {
	shard, tag := s.hash(k)
	if 8*(shard.n+1) > fullShard*len(shard.cells) {
		shard.grow()
	}
	shard.put(uint64(tag)<<32 | uint64(slot+1))
	shard.n++
	s.n++
}

func (s *idShard) put(cell uint64) {
	mask := uint32(len(s.cells) - 1)
	i := uint32(cell>>32) & mask
	for s.cells[i] != 0 {
		i = (i + 1) & mask
	}
	s.cells[i] = cell
}

func (s *idShard) grow() {
	old := s.cells
	s.cells = make([]uint64, max(2*len(old), firstIDs))
	for _, c := range old {
		if c != 0 {
			s.put(c)
		}
	}
}

// drop removes the key of a slot.
func (s *ids) drop(k *nodeKey, slot uint32) {
	shard, tag := s.hash(k)
	mask := uint32(len(shard.cells) - 1)
	want := uint64(tag)<<32 | uint64(slot+1)
	i := tag & mask
	for shard.cells[i] != want {
		i = (i + 1) & mask
	}
	// Those that follow move up where the gap would hide them.
	for j := (i + 1) & mask; shard.cells[j] != 0; j = (j + 1) & mask {
		home := uint32(shard.cells[j]>>32) & mask
		if (j-home)&mask >= (j-i)&mask {
			shard.cells[i] = shard.cells[j]
			i = j
		}
	}
	shard.cells[i] = 0
	shard.n--
	s.n--
}
