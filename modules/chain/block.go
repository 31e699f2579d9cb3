// Package chain is an example of a service on host/backfill: a chain of blocks, each with the hash of the one before
// and the signature of the chain's key. A node makes such a chain, serves it, and fetches that of others (switchyard
// sync).
package chain

import (
	"context"
	"crypto/ed25519"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/backfill"
)

// A block is, in this order: its height (8 bytes, big endian), the hash of the block below (32), data, and the
// signature (64) of what precedes it. Its hash is SHA-256 of the whole. The first block has height 1, and names a hash
// of zeros.
const (
	headerSize = 8 + sha256.Size
	minBlock   = headerSize + ed25519.SignatureSize
)

// Hash is the hash of a block.
type Hash [sha256.Size]byte

// hashOf returns the hash of a block.
func hashOf(block []byte) Hash { return sha256.Sum256(block) }

// below returns the hash that a block names.
func below(block []byte) (h Hash) {
	copy(h[:], block[8:headerSize])
	return h
}

// NewKey makes the key of a chain.
func NewKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = crand.Read(seed) // never fails
	return ed25519.NewKeyFromSeed(seed)
}

// Public returns the public key of a chain's key.
func Public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// newBlock makes a block of size bytes, with the least size at least.
func newBlock(key ed25519.PrivateKey, height uint64, under Hash, size int) []byte {
	data := max(size-minBlock, 0)
	b := make([]byte, 0, minBlock+data)
	b = append(binary.BigEndian.AppendUint64(b, height), under[:]...)
	noise := rand.NewChaCha8(under)
	b = b[:headerSize+data]
	_, _ = noise.Read(b[headerSize:]) // never fails
	return append(b, ed25519.Sign(key, b)...)
}

// check returns what is wrong with a block by itself: its form, its height or its signature.
func check(block []byte, height uint64, key ed25519.PublicKey) error {
	if len(block) < minBlock {
		return fmt.Errorf("a block of %d bytes", len(block))
	}
	if got := binary.BigEndian.Uint64(block); got != height {
		return fmt.Errorf("the block of height %d", got)
	}
	signed := len(block) - ed25519.SignatureSize
	if !ed25519.Verify(key, block[:signed], block[signed:]) {
		return errors.New("the signature is wrong")
	}
	return nil
}

// Make appends blocks to a store until it has that of height to. A store with blocks of another key fails.
func Make(ctx context.Context, store backfill.Store, key ed25519.PrivateKey, to uint64, size int) error {
	public := Public(key)
	spans, err := store.Range(ctx, 1, to)
	if err != nil {
		return err
	}
	var last uint64
	var under Hash
	if len(spans) > 0 && spans[0].From == 1 {
		last = spans[0].To
		top, err := store.Get(ctx, last)
		if err != nil {
			return err
		}
		if err := check(top, last, public); err != nil {
			return fmt.Errorf("the chain in the store is another one: height %d: %w", last, err)
		}
		under = hashOf(top)
	}
	for h := last + 1; h <= to; h++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := newBlock(key, h, under, size)
		if err := store.Put(ctx, h, b); err != nil {
			return err
		}
		under = hashOf(b)
	}
	return nil
}

// Target is a block that is trusted, and the key that has signed all blocks below.
type Target struct {
	Height uint64
	Hash   Hash
	Key    ed25519.PublicKey
}

// String returns the target as ParseTarget reads it.
func (t Target) String() string { return fmt.Sprintf("%d:%x:%x", t.Height, t.Hash, []byte(t.Key)) }

// ParseTarget reads HEIGHT:HASH:KEY; hash and key are in hex.
func ParseTarget(s string) (t Target, err error) {
	parts := strings.Split(strings.TrimSpace(s), ":")
	if len(parts) != 3 {
		return t, fmt.Errorf("target %.40q: want HEIGHT:HASH:KEY", s)
	}
	if t.Height, err = strconv.ParseUint(parts[0], 10, 63); err != nil || t.Height == 0 {
		return t, fmt.Errorf("target: %.40q is not a height", parts[0])
	}
	hash, err := hex.DecodeString(parts[1])
	if err != nil || len(hash) != len(t.Hash) {
		return t, fmt.Errorf("target: %.80q is not a hash of 64 hex digits", parts[1])
	}
	key, err := hex.DecodeString(parts[2])
	if err != nil || len(key) != ed25519.PublicKeySize {
		return t, fmt.Errorf("target: %.80q is not a key of 64 hex digits", parts[2])
	}
	copy(t.Hash[:], hash)
	t.Key = key
	return t, nil
}

// TargetOf returns the target at a height of a store's chain.
func TargetOf(ctx context.Context, store backfill.Store, height uint64, key ed25519.PublicKey) (Target, error) {
	b, err := store.Get(ctx, height)
	if err != nil {
		return Target{}, err
	}
	return Target{Height: height, Hash: hashOf(b), Key: key}, nil
}

// Verify returns the check of the blocks below and at a target, for Sync and Backfill: a block must be signed, and fit
// the blocks of its neighbours which the store has, and the target.
func Verify(store backfill.Store, t Target) backfill.Verify {
	return func(ctx context.Context, height uint64, b []byte) error {
		if err := check(b, height, t.Key); err != nil {
			return backfill.Bad(host.Disconnect, err)
		}
		hash := hashOf(b)
		if height == t.Height && hash != t.Hash {
			return backfill.Bad(host.Disconnect, errors.New("it is not the target"))
		}
		if height == 1 && below(b) != (Hash{}) {
			return backfill.Bad(host.Disconnect, errors.New("the first block has one below it"))
		}
		above, err := store.Get(ctx, height+1)
		if err == nil && below(above) != hash {
			return backfill.Bad(host.Disconnect, errors.New("it does not fit the block above"))
		}
		if err != nil && !errors.Is(err, backfill.ErrNoHeight) {
			return err
		}
		if height == 1 {
			return nil
		}
		under, err := store.Get(ctx, height-1)
		if err == nil && below(b) != hashOf(under) {
			return backfill.Bad(host.Disconnect, errors.New("it does not fit the block below"))
		}
		if err != nil && !errors.Is(err, backfill.ErrNoHeight) {
			return err
		}
		return nil
	}
}
