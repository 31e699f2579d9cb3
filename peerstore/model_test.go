package peerstore_test

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/storetest"
	"github.com/switchyard-p2p/switchyard/peerstore/transfer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestModel is the contract's model test for the book itself, with a look at all its indexes after each operation, and with the journal: what a persistent store would
// have written is what the book becomes when it is opened again, or after a kill.
func TestModel(t *testing.T) {
	storetest.RunModel(t, storetest.Factory{
		New: func(_ testing.TB, l peerstore.Limits, seed uint64) peerstore.Store {
			d := &disk{random: rand.New(rand.NewPCG(seed, 77)), limits: l, peers: map[transport.NodeID]peerstore.Saved{}, bans: map[peerstore.Target]peerstore.Ban{}, meta: map[string][]byte{}}
			return d.open(time.Time{})
		},
		Reopen: func(t testing.TB, s peerstore.Store, now time.Time) peerstore.Store {
			j := s.(*journaled)
			j.write(everything)
			if err := j.fault; err != nil {
				t.Fatal(err)
			}
			if j.random.IntN(4) == 0 { // as after damage: all is written anew
				j = j.open(now)
				clear(j.peers)
				clear(j.bans)
				clear(j.meta)
				j.Rewrite(true)
				j.write(everything)
			}
			return j.open(now)
		},
		Crash: func(_ testing.TB, s peerstore.Store, now time.Time) peerstore.Store { return s.(*journaled).open(now) },
		Check: func(s peerstore.Store) error {
			j := s.(*journaled)
			if j.fault != nil {
				return j.fault
			}
			return peerstore.CheckBook(j.Book)
		},
		Copy: func(t testing.TB, s peerstore.Store, l peerstore.Limits, now time.Time) peerstore.Store {
			var text bytes.Buffer
			if err := transfer.Export(&text, s, now); err != nil {
				t.Fatal(err)
			}
			other := peerstore.NewBook(l, 3)
			if got, err := transfer.Import(&text, other, now); err != nil || got.Bad > 0 {
				t.Fatalf("%+v %v", got, err)
			}
			return other
		},
	})
}

// everything is no limit on how many peers are written.
const everything = 1 << 30

// disk is what a journaled store has persisted.
type disk struct {
	random *rand.Rand
	limits peerstore.Limits
	peers  map[transport.NodeID]peerstore.Saved
	bans   map[peerstore.Target]peerstore.Ban
	meta   map[string][]byte
}

// journaled is a book whose changes go to a disk in memory: all of them with Flush and when a flag changes, all but the peers with a ban, and some in between. Now and
// then the disk fails, and what it was to hold is given back.
type journaled struct {
	*peerstore.Book
	*disk
	fault error
}

// open loads what is on the disk, in any order.
func (d *disk) open(now time.Time) *journaled {
	j := &journaled{Book: peerstore.NewBook(d.limits, d.random.Uint64()|1), disk: d}
	j.Track()
	for key, value := range d.meta {
		if !j.RestoreMeta(key, value) {
			j.fault = fmt.Errorf("%s is not restored", key)
		}
	}
	for _, b := range shuffled(d.random, d.bans, func(a, b peerstore.Target) int { return strings.Compare(a.String(), b.String()) }) {
		if !j.RestoreBan(b, now) {
			delete(d.bans, b.Target)
		}
	}
	all := peerstore.Arrivals{Peers: shuffled(d.random, d.peers, cmp.Compare)}
	r := j.Restorer(now)
	r.Prepare(&all)
	r.Restore(&all)
	r.End()
	j.write(0)
	return j
}

// shuffled are the values of a map, in an order that follows from random.
func shuffled[K comparable, V any](random *rand.Rand, from map[K]V, order func(a, b K) int) []V {
	keys := slices.SortedFunc(maps.Keys(from), order)
	random.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	values := make([]V, len(keys))
	for i, key := range keys {
		values[i] = from[key]
	}
	return values
}

// write persists up to limit peers and all else.
func (j *journaled) write(limit int) {
	var all []peerstore.Changes
	for more, left := true, limit; more; {
		var c peerstore.Changes
		more = j.TakeChanges(min(left, 64), &c)
		all = append(all, c)
		left -= len(c.Peers)
		switch {
		case j.random.IntN(16) == 0: // the disk fails, and is tried again
			j.GiveBack()
			all, more, left = nil, true, limit
		case j.random.IntN(8) == 0:
			j.apply(all)
			all = nil
		}
		more = more && (left > 0 || len(all) == 0 && left == limit)
	}
	j.apply(all)
}

// apply writes what was taken.
func (j *journaled) apply(all []peerstore.Changes) {
	j.Written()
	for _, c := range all {
		for _, id := range c.Gone {
			delete(j.peers, id)
		}
		for i := range c.Peers {
			j.peers[c.Peers[i].Record().ID] = c.Peers[i]
		}
		for _, t := range c.Lifted {
			delete(j.bans, t)
		}
		for _, b := range c.Bans {
			j.bans[b.Target] = b
		}
		for key, value := range c.Meta {
			if j.meta[key] = value; value == nil {
				delete(j.meta, key)
			}
		}
	}
	if n := len(all); n > 0 && (len(j.peers) != all[n-1].Stored || len(j.bans) != all[n-1].Banned) {
		j.fault = fmt.Errorf("the totals are %d peers and %d bans, on disk are %d and %d", all[n-1].Stored, all[n-1].Banned, len(j.peers), len(j.bans))
	}
}

func (j *journaled) Update(id transport.NodeID, fn func(*peerstore.Record)) bool {
	known, flags := j.Change(id, fn)
	if flags {
		j.write(everything)
	}
	return known
}

func (j *journaled) Ensure(id transport.NodeID, now time.Time, fn func(*peerstore.Record)) {
	if j.EnsureChange(id, now, fn) {
		j.write(everything)
	}
}

func (j *journaled) Ban(b peerstore.Ban) error {
	err := j.Book.Ban(b)
	j.write(0)
	return err
}

func (j *journaled) Unban(t peerstore.Target) (bool, error) {
	was, err := j.Book.Unban(t)
	j.write(0)
	return was, err
}

// Advertise also stands for the writer that works behind.
func (j *journaled) Advertise(limit int, now time.Time, skip func(transport.Address) bool) []transport.Address {
	j.write(j.random.IntN(10))
	return j.Book.Advertise(limit, now, skip)
}

func (j *journaled) Flush(context.Context) error {
	j.write(everything)
	return nil
}
