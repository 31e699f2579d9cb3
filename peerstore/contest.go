package peerstore

import "time"

// contest is a new peer that has worked, and a tried one whose place it claims, as their bucket is full. The tried one is tested first: Feeler returns it. It
// stays if it works, and goes back to the new table if it does not, or if nobody has tested it within contestTime. (Bitcoin Core's address manager does so, with
// the same time; before, an attacker could push out good peers just by being there.)
type contest struct {
	challenger, incumbent       uint32 // slots
	challengerKey, incumbentKey nodeKey
	since                       int64
}

const (
	contestTime = int64(40 * time.Minute)
	maxContests = 64 // beyond them a challenger comes again when it works the next time
)

// promote moves e, which has worked, to the tried table, or lets it contest a place.
func (b *Book) promote(slot uint32, e *entry) bool {
	table, bucket := b.tableOf(Tried), 0
	if !b.limits.Without.Buckets {
		if bucket = b.bucketOf(e, Tried); table.full(bucket) {
			return b.challenge(slot, e, bucket)
		}
	}
	b.exit(e)
	return b.enter(slot, e, Tried)
}

// challenge chooses who of a full bucket has to show that it still works: of a few, the one that worked least lately. Links show it already.
func (b *Book) challenge(slot uint32, e *entry, bucket int) (promoted bool) {
	if e.is(contested) || len(b.contests) >= maxContests {
		return false
	}
	cells := b.tableOf(Tried).cells(bucket)
	victim, least, found := uint32(0), int64(never), false
	for range victimLooks {
		other := cells[b.random.IntN(bucketSize)]
		o := b.at(other)
		if o.is(busy | contested) {
			continue
		}
		if last := b.lastWorked(o); last < least {
			victim, least, found = other, last, true
		}
	}
	if !found {
		return false
	}
	o := b.at(victim)
	if b.limits.Without.TestBeforeEvict {
		b.exit(e)
		b.demote(victim, o)
		return b.enter(slot, e, Tried)
	}
	b.contests = append(b.contests, contest{slot, victim, e.nodeKey(), o.nodeKey(), b.now})
	e.flags |= contested
	o.flags |= contested
	return false
}

// demote moves a tried peer back to the new table, where it takes somebody's place.
func (b *Book) demote(slot uint32, e *entry) {
	b.exit(e)
	b.toTable(e, New)
	if b.enterNew(slot, e, true) {
		b.journal.peer(slot, e)
	}
	b.reindex(slot, e)
}

// same is the peer at a slot, if it is still the same; else nil.
func (b *Book) same(slot uint32, key *nodeKey) *entry {
	if e := b.at(slot); e.is(live) && e.nodeKey() == *key {
		return e
	}
	return nil
}

// judge settles the contests that are decided.
func (b *Book) judge() {
	for i := 0; i < len(b.contests); i++ {
		c := b.contests[i]
		won, decided := b.verdict(&c)
		if !decided {
			continue
		}
		last := len(b.contests) - 1
		b.contests[i] = b.contests[last]
		b.contests = b.contests[:last]
		i--
		incumbent := b.same(c.incumbent, &c.incumbentKey)
		if incumbent != nil {
			incumbent.flags &^= contested
		}
		if e := b.same(c.challenger, &c.challengerKey); e != nil {
			e.flags &^= contested
		}
		if !won {
			continue
		}
		if incumbent != nil && incumbent.table == Tried {
			b.demote(c.incumbent, incumbent)
		}
		if e := b.same(c.challenger, &c.challengerKey); e != nil { // the other one may have taken its place
			e.flags |= worked
			b.reindex(c.challenger, e)
			b.journal.peer(c.challenger, e)
		}
	}
}

// verdict says whether a contest is decided, and whether the challenger has won.
func (b *Book) verdict(c *contest) (won, decided bool) {
	e, o := b.same(c.challenger, &c.challengerKey), b.same(c.incumbent, &c.incumbentKey)
	switch {
	case e == nil || e.table != New || e.is(kept):
		return false, true
	case o == nil || o.table != Tried || o.is(kept):
		return true, true
	case o.is(busy): // it is being dialed, or linked
		return false, false
	case b.lastWorked(o) >= c.since:
		return false, true
	case b.now-c.since >= contestTime:
		return true, true
	}
	for k := b.firstOf(o); k != nil; k = b.nextOf(k) {
		if k.lastDialed >= c.since && k.failures > 0 {
			return true, true
		}
	}
	return false, false
}
