package peers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// anyError is a random end of a dial, in which the remote had proven to be the given node.
func anyError(rng *rand.Rand, proven transport.NodeID) error {
	stages := []string{handshake.StageTransport, handshake.StageSecurity, handshake.StageMuxer, handshake.StageInfo}
	stage, code := stages[rng.IntN(len(stages))], muxer.Code(rng.IntN(32))
	switch rng.IntN(4) {
	case 0:
		return &handshake.Refusal{Code: code, Stage: stage, Remote: rng.IntN(2) == 0, Proven: proven}
	case 1: // as QUIC puts it
		err := &muxer.CloseError{Code: code, Remote: rng.IntN(2) == 0, Err: errors.New("x")}
		return &handshake.StageError{Stage: stage, Code: muxer.CodeTransport, Err: err, Proven: proven}
	case 2:
		return &handshake.StageError{Stage: stage, Code: code, Err: syscall.ECONNREFUSED, Proven: proven}
	}
	err := &handshake.StageError{Stage: stage, Code: code, Err: errors.New("x"), Proven: proven}
	return fmt.Errorf("wrapped: %w", err)
}

// Whatever happens at addresses that anybody may have told of, before the key that is expected there is proven, changes
// nothing about the peer but what is known of these addresses: it is not quarantined, it waits for nothing, and an
// address that is learned later is dialed at once. A trusted peer, a learned one and one that was linked before fare
// alike.
func TestNothingUnprovenIsHeldAgainstAnID(t *testing.T) {
	for seed := range uint64(200) {
		inBubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			id := lowID(1)
			cfg := Config{Seed: seed + 1}
			if seed%3 == 0 {
				cfg.Persistent = []transport.Address{addrOf(t, id, 0)}
			}
			m := newPM(t, cfg)
			m.up(highID(9)) // not isolated
			if seed%3 != 0 {
				m.learn(id)
			}
			if seed%3 == 1 {
				_, l := m.dialUp(id)
				time.Sleep(time.Minute)
				m.down(id, l, muxer.CodeRemoteClosed)
			}
			before := m.record(id)
			most := before.Failures
			for range 50 {
				_ = m.Add(addrOf(t, id, 1+rng.IntN(20)), peerstore.Source{Kind: "pex"})
				time.Sleep(time.Duration(rng.Int64N(int64(2 * time.Hour))))
				d, ok := m.TryDialNext()
				if !ok {
					continue
				}
				proven := []transport.NodeID{"", highID(rng.IntN(3))}[rng.IntN(2)] // no key, or another one's
				var failures []DialFailure
				for _, a := range d.Addresses {
					failures = append(failures, DialFailure{a, anyError(rng, proven)})
				}
				m.DialFailed(d.ID, failures)
				after, known := m.store.Get(id)
				if !known { // not one address of it was left
					if seed%3 == 0 {
						t.Fatalf("seed %d: a trusted peer is forgotten", seed)
					}
					return
				}
				if most = max(most, bestFailures(&after)); after.Failures > most {
					t.Fatalf("seed %d: more failures than any address has: %+v", seed, after)
				}
				after.Addresses, after.Failures, after.InTried = before.Addresses, before.Failures, before.InTried
				if !reflect.DeepEqual(after, before) {
					t.Fatalf("seed %d, after %+v:\n%+v\n%+v", seed, failures, before, after)
				}
			}
			fresh := addrOf(t, id, 1000)
			m.store.Update(id, func(rec *peerstore.Record) { rec.Addresses = rec.Addresses[:1] })
			if err := m.Add(fresh, peerstore.Source{Kind: "pex"}); err != nil {
				t.Fatal(err)
			}
			if d := m.mustDial(id); d.Addresses[0] != fresh && len(d.Addresses) == 1 {
				t.Fatalf("dials %v", d.Addresses)
			}
		})
	}
}

// A peer whose key is proven answers for what it says: it is quarantined when it names another network, and only then.
func TestQuarantineNeedsAProvenNetwork(t *testing.T) {
	id := lowID(1)
	for seed := range uint64(500) {
		inBubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 2))
			m := newPM(t, Config{Seed: seed + 1})
			m.learn(id)
			m.mustDial(id)
			err := anyError(rng, []transport.NodeID{"", id, lowID(2)}[rng.IntN(3)])
			m.fail(id, err)
			rec, _ := m.store.Get(id)
			r, refused := errors.AsType[*handshake.Refusal](err)
			want := refused && r.Proven == id && r.Stage == handshake.StageInfo &&
				(r.Code == muxer.CodeWrongNetwork || r.Code == muxer.CodeIncompatible)
			if got := rec.Quarantined.After(time.Now()); got != want {
				t.Fatalf("seed %d, %v: quarantined %v", seed, err, got)
			}
		})
	}
}
