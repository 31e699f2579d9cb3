package book

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/peerstore/transfer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestModel is the contract's model test for the book itself, with a look at all its indexes after each operation, and
// with its changes: what a store would have persisted is what the book becomes when it is opened again, or after a
// kill.
func TestModel(t *testing.T) {
	storetest.RunModel(t, storetest.Factory{
		New: func(_ testing.TB, l peerstore.Limits, seed uint64) peerstore.Store {
			d := &disk{
				random: rand.New(rand.NewPCG(seed, 77)), limits: l,
				peers: map[transport.NodeID]peerstore.Record{}, values: map[string][]byte{},
			}
			return d.open(time.Time{})
		},
		Reopen: func(_ testing.TB, s peerstore.Store, now time.Time) peerstore.Store {
			p := s.(*persisted)
			p.write(everything)
			return p.open(now)
		},
		Crash: func(_ testing.TB, s peerstore.Store, now time.Time) peerstore.Store { return s.(*persisted).open(now) },
		Check: func(s peerstore.Store) error {
			p := s.(*persisted)
			if p.fault != nil {
				return p.fault
			}
			return checkBook(p.Book)
		},
		Copy: func(t testing.TB, s peerstore.Store, l peerstore.Limits, now time.Time) peerstore.Store {
			var text bytes.Buffer
			if err := transfer.Export(&text, s, now); err != nil {
				t.Fatal(err)
			}
			other := New(l, 3)
			if got, err := transfer.Import(&text, other, now); err != nil || got.Bad > 0 {
				t.Fatalf("%+v %v", got, err)
			}
			return other
		},
	})
}

// everything is no limit on how many peers are written.
const everything = 1 << 30

// disk is what a persisted book has on its disk, which is in memory.
type disk struct {
	random *rand.Rand
	limits peerstore.Limits
	peers  map[transport.NodeID]peerstore.Record
	bans   []banLine // as they were banned and lifted
	values map[string][]byte
	key    [16]byte
}

type banLine struct {
	peerstore.Ban
	lifted bool
}

// persisted is a book whose changes go to a disk: all of them with Flush and when a flag changes, and some in between.
// Bans and small values go there at once. Now and then the disk fails, and what it was to hold is put back.
type persisted struct {
	*Book
	*disk
	fault error
}

// open loads what is on the disk, peers in any order.
func (d *disk) open(now time.Time) *persisted {
	p := &persisted{Book: New(d.limits, d.random.Uint64()|1), disk: d}
	p.TrackChanges()
	if d.key != [16]byte{} {
		p.SetBucketKey(d.key)
	}
	d.key = p.BucketKey()
	for key, value := range d.values {
		p.Book.SetMeta(key, value)
	}
	for _, l := range d.bans {
		if l.lifted || !p.RestoreBan(l.Ban, now) { // it has ended, and so has the one in whose place it came
			_, _ = p.Book.Unban(l.Target)
		}
	}
	ids := slices.SortedFunc(maps.Keys(d.peers), cmp.Compare)
	d.random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		first, again := p.Restore(d.peers[id], now), p.Restore(d.peers[id], now)
		if first && again {
			p.fault = fmt.Errorf("%s is restored twice", id)
		}
	}
	p.write(everything) // what was not restored is not there at the next start
	return p
}

// write persists up to limit peers, and as many removals at a time.
func (p *persisted) write(limit int) {
	for more := true; more; {
		var c Changes
		more = p.TakeChanges(min(limit, 64), &c)
		if p.random.IntN(16) == 0 { // the disk fails, and is tried again
			p.PutBack(&c)
			more = true
			continue
		}
		limit -= len(c.Peers)
		more = more && limit > 0
		for _, id := range c.Removed {
			delete(p.peers, id)
		}
		for _, r := range c.Peers {
			p.peers[r.ID] = r
		}
	}
}

func (p *persisted) Update(id transport.NodeID, fn func(*peerstore.Record)) bool {
	var flagged bool
	known := p.Book.Update(id, watchFlags(&flagged, fn))
	if flagged {
		p.write(everything)
	}
	return known
}

func (p *persisted) Ensure(id transport.NodeID, now time.Time, fn func(*peerstore.Record)) {
	var flagged bool
	p.Book.Ensure(id, now, watchFlags(&flagged, fn))
	if flagged {
		p.write(everything)
	}
}

// watchFlags notes whether fn changes one of the operator's flags.
func watchFlags(flagged *bool, fn func(*peerstore.Record)) func(*peerstore.Record) {
	return func(r *peerstore.Record) {
		was := [...]bool{r.Trusted, r.Unconditional, r.Private}
		fn(r)
		*flagged = was != [...]bool{r.Trusted, r.Unconditional, r.Private}
	}
}

func (p *persisted) Ban(b peerstore.Ban) error {
	err := p.Book.Ban(b)
	if err == nil {
		p.bans = append(p.bans, banLine{b, false})
	}
	return err
}

func (p *persisted) Unban(t peerstore.Target) (bool, error) {
	was, err := p.Book.Unban(t)
	if was {
		p.bans = append(p.bans, banLine{peerstore.Ban{Target: t}, true})
	}
	return was, err
}

func (p *persisted) SetMeta(key string, value []byte) {
	p.Book.SetMeta(key, value)
	if p.values[key] = p.Meta(key); p.values[key] == nil {
		delete(p.values, key)
	}
}

// Advertise also stands for the writer that works behind.
func (p *persisted) Advertise(limit int, now time.Time, skip func(transport.Address) bool) []transport.Address {
	p.write(p.random.IntN(10))
	return p.Book.Advertise(limit, now, skip)
}

func (p *persisted) Flush(context.Context) error {
	p.write(everything)
	return nil
}
