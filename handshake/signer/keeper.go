package signer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/mr-tron/base58"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Keeper has a key and signs what is on its list. Its methods may be called concurrently.
type Keeper struct {
	id      handshake.Identity
	key     handshake.PublicKey
	peer    []byte // the peer id, in bytes
	allowed []handshake.Purpose

	signed  [maxPurpose + 1]atomic.Uint64
	refused [maxPurpose + 1]atomic.Uint64 // at 0: for a purpose that there is not
}

const maxPurpose = handshake.SignPubsub

// Default returns the purposes that a Keeper signs for without further ado: those of handshakes, and peer records.
func Default() []handshake.Purpose {
	return []handshake.Purpose{handshake.SignChallenge, handshake.SignNoiseKey, handshake.SignCertificateKey,
		handshake.SignPeerRecord}
}

// NewKeeper makes a Keeper that signs with id, whose key is asked for once, for these purposes.
func NewKeeper(ctx context.Context, id handshake.Identity, allowed ...handshake.Purpose) (*Keeper, error) {
	key, err := id.PublicKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("the signer's key: %w", err)
	}
	if key.IsZero() || key.Type != handshake.Ed25519 {
		return nil, fmt.Errorf("the signer's key is %s, want %s", key.Type, handshake.Ed25519)
	}
	for _, p := range allowed {
		if p == 0 || p > maxPurpose {
			return nil, fmt.Errorf("the signer cannot sign for %s", p)
		}
	}
	peer, err := base58.Decode(key.PeerID())
	if err != nil {
		return nil, fmt.Errorf("the signer's peer id: %w", err)
	}
	return &Keeper{id: id, key: key, peer: peer, allowed: slices.Clone(allowed)}, nil
}

// Describe returns who the signer is.
func (k *Keeper) Describe() Description {
	return Description{Key: k.key, Allowed: slices.Clone(k.allowed)}
}

// Sign builds the message of a request and signs it, if its purpose is on the list and the message has its form. A
// peer record must be that of our own node. Errors are *RefusedError, or what the identity returned.
func (k *Keeper) Sign(ctx context.Context, r Request) ([]byte, error) {
	refuse := func(format string, args ...any) ([]byte, error) {
		at := r.Purpose
		if at > maxPurpose {
			at = 0
		}
		k.refused[at].Add(1)
		return nil, &RefusedError{Purpose: r.Purpose, Why: fmt.Sprintf(format, args...)}
	}
	switch {
	case r.Purpose == 0 || r.Purpose > maxPurpose:
		return refuse("there is no such purpose")
	case !slices.Contains(k.allowed, r.Purpose):
		return refuse("the signer was started without it")
	}
	msg, err := r.Purpose.Message(r.Body)
	if err != nil {
		return refuse("%d bytes have not its form", len(r.Body))
	}
	if r.Purpose == handshake.SignPeerRecord {
		if err := k.checkRecord(r.Body); err != nil {
			return refuse("%v", err)
		}
	}
	sig, err := k.id.Sign(ctx, r.Purpose, msg)
	if err != nil {
		return nil, err
	}
	k.signed[r.Purpose].Add(1)
	return sig, nil
}

// fieldPeerID is the number of PeerRecord.peer_id (libp2p/specs, RFC 0003).
const fieldPeerID = 1

// checkRecord returns why we do not vouch for a peer record; nil if it is ours.
func (k *Keeper) checkRecord(record []byte) error {
	var id []byte
	for rest := record; len(rest) > 0; {
		num, typ, n := protowire.ConsumeTag(rest)
		if n < 0 {
			return fmt.Errorf("it is malformed: %w", protowire.ParseError(n))
		}
		rest = rest[n:]
		if num == fieldPeerID && typ == protowire.BytesType {
			id, _ = protowire.ConsumeBytes(rest) // the last one counts, as for every reader
		}
		if n = protowire.ConsumeFieldValue(num, typ, rest); n < 0 {
			return fmt.Errorf("it is malformed: %w", protowire.ParseError(n))
		}
		rest = rest[n:]
	}
	if !bytes.Equal(id, k.peer) {
		return errors.New("it is that of another node")
	}
	return nil
}

// Counts are how many requests a Keeper has answered, by purpose.
type Counts struct {
	Signed  map[handshake.Purpose]uint64
	Refused map[handshake.Purpose]uint64 // at 0: for a purpose that there is not
}

// Counts returns the counters. Purposes without a request are left out.
func (k *Keeper) Counts() Counts {
	c := Counts{map[handshake.Purpose]uint64{}, map[handshake.Purpose]uint64{}}
	for p := range k.signed {
		if n := k.signed[p].Load(); n > 0 {
			c.Signed[handshake.Purpose(p)] = n
		}
		if n := k.refused[p].Load(); n > 0 {
			c.Refused[handshake.Purpose(p)] = n
		}
	}
	return c
}
