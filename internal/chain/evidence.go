package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// evident shows one end of the network that a validator voted twice; a proposer that has no link to that end must put
// the evidence into a block.
func evident(ctx context.Context, w *network) (string, error) {
	from, far := w.nodes[0], w.nodes[len(w.nodes)-1]
	for _, n := range w.nodes { // the last node that is not linked to the first, if there is one
		if !n.links(from.kind) {
			far = n
		}
	}
	guilty := victim(w)
	for try := 1; try <= 10; try++ {
		// The height after next is the first at which the evidence can be in a block.
		h, err := from.height(ctx)
		if err != nil {
			return "", err
		}
		if err := w.accuse(ctx, from, guilty, h-1); err != nil {
			return "", err
		}
		proposer, height, err := evidenceAfter(ctx, far, h)
		if err != nil {
			return "", err
		}
		if proposer == far.val {
			f, err := judge(ctx, w)
			return fmt.Sprintf("from %s (%c) to block %d of %s (%c), %s", from.name, from.kind, height, far.name,
				far.kind, f), err
		}
	}
	return "", fmt.Errorf("ten times, no evidence given to %s came into a block of %s", from.name, far.name)
}

// evidenceAfter returns the proposer and height of the first block with evidence after a height.
func evidenceAfter(ctx context.Context, n *node, height int64) (proposer string, at int64, _ error) {
	for at = height + 1; at < height+30; at++ {
		if err := n.reach(ctx, at, time.Minute); err != nil {
			return "", 0, err
		}
		b, err := n.block(ctx, at)
		if err != nil {
			return "", 0, err
		}
		if len(b.Block.Evidence.Evidence) > 0 {
			return b.Block.Header.Proposer, at, nil
		}
	}
	return "", 0, fmt.Errorf("no evidence in the blocks after %d", height)
}

// accuse gives a node two precommits of a validator for one height.
func (w *network) accuse(ctx context.Context, n, guilty *node, height int64) error {
	key, err := readKey(filepath.Join(guilty.home, "config", "priv_validator_key.json"))
	if err != nil {
		return err
	}
	b, err := n.block(ctx, height)
	if err != nil {
		return err
	}
	var set struct {
		Validators []struct {
			Address string `json:"address"`
			Power   int64  `json:"voting_power,string"`
		} `json:"validators"`
	}
	if err := n.quick(ctx, "validators", map[string]any{"height": fmt.Sprint(height)}, &set); err != nil {
		return err
	}
	index, power, total := -1, int64(0), int64(0)
	for i, v := range set.Validators {
		if total += v.Power; v.Address == guilty.val {
			index, power = i, v.Power
		}
	}
	when := b.Block.Header.Time
	x, y := make([]byte, 32), make([]byte, 32)
	_, _ = rand.Read(x)
	_, _ = rand.Read(y)
	if bytes.Compare(x, y) > 0 { // CometBFT wants them in order
		x, y = y, x
	}
	vote := func(hash []byte) map[string]any {
		return map[string]any{
			"type": 2, "height": fmt.Sprint(height), "round": 0, "timestamp": when.Format(time.RFC3339Nano),
			"block_id": map[string]any{"hash": fmt.Sprintf("%X", hash),
				"parts": map[string]any{"total": 1, "hash": fmt.Sprintf("%X", hash)}},
			"validator_address": guilty.val, "validator_index": index,
			"signature": ed25519.Sign(key, precommit(w.chain, height, hash, when)),
		}
	}
	value := map[string]any{"vote_a": vote(x), "vote_b": vote(y)}
	names := []string{"TotalVotingPower", "ValidatorPower", "Timestamp"}
	if strings.HasPrefix(w.bins.version, "1.") {
		names = []string{"total_voting_power", "validator_power", "timestamp"}
	}
	value[names[0]], value[names[1]] = fmt.Sprint(total), fmt.Sprint(power)
	value[names[2]] = when.Format(time.RFC3339Nano)
	evidence, err := json.Marshal(map[string]any{"type": "tendermint/DuplicateVoteEvidence", "value": value})
	if err != nil {
		return err
	}
	return n.quick(ctx, "broadcast_evidence", map[string]any{"evidence": json.RawMessage(evidence)}, nil)
}

// precommit returns what a validator signs: a CanonicalVote in protobuf, behind its length.
func precommit(chain string, height int64, hash []byte, when time.Time) []byte {
	parts := field(number(nil, 1, 1), 2, hash) // one part
	id := field(field(nil, 1, hash), 2, parts)
	stamp := number(number(nil, 1, uint64(when.Unix())), 2, uint64(when.Nanosecond()))
	vote := number(nil, 1, 2) // type: precommit
	const fixed64 = 1
	vote = binary.LittleEndian.AppendUint64(append(vote, 2<<3|fixed64), uint64(height)) // the round is 0 and absent
	vote = field(field(field(vote, 4, id), 5, stamp), 6, []byte(chain))
	return append(binary.AppendUvarint(nil, uint64(len(vote))), vote...)
}

// number appends a field of protobuf with a number, unless that is 0.
func number(b []byte, tag byte, n uint64) []byte {
	if n == 0 {
		return b
	}
	return binary.AppendUvarint(append(b, tag<<3), n)
}

// field appends a field of protobuf with bytes.
func field(b []byte, tag byte, data []byte) []byte {
	const delimited = 2
	b = binary.AppendUvarint(append(b, tag<<3|delimited), uint64(len(data)))
	return append(b, data...)
}
