package peerstore

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Add learns an address: see Store.
func (b *Book) Add(addr transport.Address, from Source, now time.Time) bool {
	p := addr.Packed()
	var id transport.NodeID // where the key does not say it
	var k nodeKey
	if p != nil {
		k.raw = p.Node
	} else {
		if id = addr.ID(); id == "" || len(id) > maxID {
			return false
		}
		k = keyOf(id)
	}
	hash := b.ids.hash(&k)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.bring(now)
	b.ids.prefetch(hash)
	c := &b.crowds[routableNew]
	one := known{firstHeard: b.now, lastHeard: b.now}
	bucket := -1
	var group Group
	if p != nil { // what a new peer needs is loaded from here on, as far as is known where it lies, and meanwhile its place is worked out
		group = b.groupAt(&p.IP, p.Port)
		c.at.prefetch(c.tag(group))
		b.setAddress(&one, &addr)
		if told, ok := b.sources.groupOfLast(&from); ok { // as with most, as addresses come in batches
			bucket = b.newBucket(&one, group, told)
			b.tables[New-1].prefetch(bucket)
		}
	}
	slot, e := b.findHashed(&k, hash)
	if e != nil { // of a new peer later
		b.age(fewMoves)
		slot, e = b.findHashed(&k, hash)
	}
	if e != nil {
		if k := b.findAddress(e, &addr); k != nil {
			if b.now-k.lastHeard >= int64(heardGrain) {
				k.lastHeard = b.now
				b.journal.peer(slot, e)
			}
			return false
		}
	}
	fresh := e == nil
	var others *crowd
	if fresh && p != nil {
		others = c.prefetch(group)
	}
	if from.Kind != SourceConfig && (fresh || !e.is(trusted)) && b.unwanted(e, &k, &addr, from.IP) {
		if fresh {
			b.age(fewMoves)
		}
		return false
	}
	one.source = b.sources.hold(&from, b.limits.Groups)
	if p == nil {
		b.setAddress(&one, &addr)
	}
	if !fresh && e.first.source != 0 {
		return b.addFurther(slot, e, one)
	}
	if bucket < 0 {
		bucket = b.newBucketOf(&one)
	}
	if fresh {
		b.age(fewMoves)
		if others != nil {
			others.prefetch()
		}
		if !b.withinQuota(one.source) {
			b.drop(&one)
			return false
		}
		slot, e = b.insertKey(&k, hash, id)
	}
	e.first = one
	b.describe(e)
	b.tables[New-1].prefetchPlace(bucket)
	if !e.is(kept) && !b.enterNewAt(slot, e, bucket, e.is(busy) || from.Kind == SourceConfig) {
		if fresh {
			b.remove(slot, e)
		} else {
			b.dropAddresses(e)
		}
		return false
	}
	if fresh && p != nil && e.cell != 0 && len(b.bans.nets)+len(b.bans.byKey) == 0 { // as most
		b.settle(slot, e)
	} else {
		b.reindex(slot, e)
	}
	if fresh {
		if b.prune() && b.same(slot, &k) == nil { // it was the one to go
			return false
		}
	}
	b.journal.peer(slot, e)
	return true
}

// addFurther gives a peer that has addresses one more, in the place of a worse one if it has as many as it may.
func (b *Book) addFurther(slot uint32, e *entry, one known) bool {
	worst, n := &e.first, 0
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		if worst.better(k) {
			worst = k
		}
		n++
	}
	switch {
	case n < b.limits.MaxAddresses:
		b.addAddress(e, one)
	case one.better(worst):
		b.drop(worst)
		one.next = worst.next
		*worst = one
		e.flags |= moved // and so may its network group
	default:
		b.drop(&one)
		return false
	}
	b.describe(e)
	b.reindex(slot, e)
	b.journal.peer(slot, e)
	return true
}

// unwanted says that an address is not to be learned: for a ban, a quarantine, or because it means nothing here.
func (b *Book) unwanted(e *entry, k *nodeKey, addr *transport.Address, teller netip.Addr) bool {
	return b.bans.endOfKey(k) > b.now || b.bans.endOf(addr) > b.now || e != nil && b.quarantined(e) > b.now || foreign(addr, teller)
}

// foreign says that an address has a meaning only in a network that the one who told of it is not in: a private one told from a public IP, one of our own machine
// told from another one.
func foreign(a *transport.Address, teller netip.Addr) bool {
	teller = teller.Unmap()
	if !teller.IsValid() || teller.IsLoopback() {
		return false
	}
	if a.IsRoutable() {
		return false
	}
	return transport.IsPublicIP(teller) || a.IsLoopback()
}
