package eclipse

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
)

// flat is a baseline: a store with no buckets, where every address counts alike.
type flat int

const (
	_          flat = iota
	flatRandom      // any peer that is due, at random
	// the best ranked peer that is due, by useful messages since the start less failed dials since the last success, as
	// in Tendermint v0.35 (internal/p2p/peermanager.go: Ranked, Score)
	flatRanked
)

// flatStore is a store of a flat kind. It has no groups and no feelers. It embeds an empty store for all other methods.
type flatStore struct {
	peerstore.Store
	kind   flat
	most   int
	random *rand.Rand
	peers  map[transport.NodeID]*flatPeer
	ranks  map[int]*[]*flatPeer // the peers of each rank; flatRandom has one rank
	order  []int                // the ranks that there are, best first
}

type flatPeer struct {
	rec   peerstore.Record
	good  int // useful messages since the start
	rank  int
	place int // in its rank
}

func newFlatStore(kind flat, seed uint64) *flatStore {
	return &flatStore{Store: memory.NewSeeded(peerstore.Limits{}, seed), kind: kind, most: peerstore.DefaultMaxPeers,
		random: rand.New(rand.NewPCG(seed, 2)),
		peers:  map[transport.NodeID]*flatPeer{}, ranks: map[int]*[]*flatPeer{}}
}

func (s *flatStore) rankOf(p *flatPeer) int {
	if s.kind == flatRandom {
		return 0
	}
	rank := p.good
	for _, a := range p.rec.Addresses {
		rank -= int(min(a.Failures, 1000))
	}
	return rank
}

// useful notes that a service found messages of the peer useful.
func (s *flatStore) useful(id transport.NodeID) {
	if p := s.peers[id]; p != nil {
		s.take(p)
		p.good++
		s.put(p)
	}
}

// restarted forgets what is not persisted.
func (s *flatStore) restarted() {
	for _, rank := range slices.Clone(s.order) {
		if s.ranks[rank] == nil { // emptied meanwhile
			continue
		}
		for _, p := range slices.Clone(*s.ranks[rank]) {
			if p.good != 0 {
				s.take(p)
				p.good = 0
				s.put(p)
			}
		}
	}
}

func (s *flatStore) put(p *flatPeer) {
	p.rank = s.rankOf(p)
	all := s.ranks[p.rank]
	if all == nil {
		all = new([]*flatPeer)
		s.ranks[p.rank] = all
		i, _ := slices.BinarySearchFunc(s.order, p.rank, func(a, b int) int { return b - a })
		s.order = slices.Insert(s.order, i, p.rank)
	}
	p.place = len(*all)
	*all = append(*all, p)
}

func (s *flatStore) take(p *flatPeer) {
	all := s.ranks[p.rank]
	last := len(*all) - 1
	(*all)[p.place] = (*all)[last]
	(*all)[p.place].place = p.place
	*all = (*all)[:last]
	if last == 0 {
		delete(s.ranks, p.rank)
		s.order = slices.DeleteFunc(s.order, func(r int) bool { return r == p.rank })
	}
}

func (s *flatStore) insert(rec peerstore.Record) *flatPeer {
	p := &flatPeer{rec: rec}
	s.peers[rec.ID] = p
	s.put(p)
	for len(s.peers) > s.most { // one of the worst rank goes
		worst := *s.ranks[s.order[len(s.order)-1]]
		out := worst[s.random.IntN(len(worst))]
		if out.rec.Busy {
			break
		}
		s.take(out)
		delete(s.peers, out.rec.ID)
	}
	return p
}

func (s *flatStore) Add(addr transport.Address, source peerstore.Source, now time.Time) bool {
	if s.peers[addr.ID()] != nil {
		return false // one address each, here
	}
	s.insert(peerstore.Record{ID: addr.ID(), FirstSeen: now,
		Addresses: []peerstore.AddressRecord{{Address: addr, Source: source, FirstHeard: now, LastHeard: now}}})
	return true
}

func (s *flatStore) Get(id transport.NodeID) (peerstore.Record, bool) {
	p := s.peers[id]
	if p == nil {
		return peerstore.Record{}, false
	}
	return p.copy(), true
}

func (p *flatPeer) copy() peerstore.Record {
	r := p.rec
	r.Addresses = slices.Clone(r.Addresses)
	return r
}

func (s *flatStore) Update(id transport.NodeID, fn func(*peerstore.Record)) bool {
	p := s.peers[id]
	if p != nil {
		s.take(p)
		fn(&p.rec)
		s.put(p)
	}
	return p != nil
}

// SetBusy implements peerstore.Store.
func (s *flatStore) SetBusy(id transport.NodeID, busy bool) bool {
	return s.Update(id, func(r *peerstore.Record) { r.Busy = busy })
}

func (s *flatStore) Ensure(id transport.NodeID, now time.Time, fn func(*peerstore.Record)) {
	if s.peers[id] == nil {
		s.insert(peerstore.Record{ID: id, FirstSeen: now})
	}
	s.Update(id, fn)
}

func (s *flatStore) Remove(id transport.NodeID) bool {
	p := s.peers[id]
	if p != nil {
		s.take(p)
		delete(s.peers, id)
	}
	return p != nil
}

// Next takes the first due peer of the best rank that has one, from a random place on.
func (s *flatStore) Next(now time.Time, q peerstore.Query) (peerstore.Record, bool) {
	for _, rank := range s.order {
		all := *s.ranks[rank]
		from := s.random.IntN(len(all))
		for i := range all {
			p := all[(from+i)%len(all)]
			if p.due(now) && (q.Skip == nil || !q.Skip(p.rec.ID)) {
				if q.Reserve {
					s.SetBusy(p.rec.ID, true)
				}
				return p.copy(), true
			}
		}
	}
	return peerstore.Record{}, false
}

func (p *flatPeer) due(now time.Time) bool {
	r := &p.rec
	if r.Busy || r.NotBefore.After(now) || r.Quarantined.After(now) {
		return false
	}
	return slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool { return !a.NotBefore.After(now) })
}

func (s *flatStore) Feeler(time.Time, peerstore.Query) (peerstore.Record, bool) {
	return peerstore.Record{}, false
}

func (s *flatStore) NextDue(time.Time) (time.Time, bool) { return time.Time{}, false } // the simulation looks often

func (s *flatStore) Range(fn func(peerstore.Record) bool) {
	for _, rank := range slices.Clone(s.order) {
		for _, p := range slices.Clone(*s.ranks[rank]) {
			if !fn(p.copy()) {
				return
			}
		}
	}
}

func (s *flatStore) Buckets() peerstore.Buckets { return peerstore.Buckets{} }

func (s *flatStore) Meta(string) []byte     { return nil } // nor anchors
func (s *flatStore) SetMeta(string, []byte) {}
