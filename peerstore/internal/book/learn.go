package book

import (
	"net/netip"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// heardGrain is how old LastHeard must be before it is refreshed. Peers report the same addresses all the time, and
// each refresh has to be persisted.
const heardGrain = 10 * time.Minute

// Add learns an address: see peerstore.Store.
func (b *Book) Add(addr transport.Address, from peerstore.Source, now time.Time) bool {
	key, ok := keyOfAddress(&addr)
	if !ok {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	c := &b.c
	c.advanceClock(now, someMoves)
	e := c.peers[key]
	if e != nil {
		if a := e.find(&addr); a != nil {
			if c.now-a.lastHeard >= int64(heardGrain) {
				a.lastHeard = c.now
				c.changes.note(e)
			}
			return false
		}
	}
	if from.Kind != peerstore.SourceConfig && (e == nil || !e.is(trusted)) && c.unwanted(&key, &addr, from.IP) {
		return false
	}
	a := newAddress(&addr)
	a.firstHeard, a.lastHeard = c.now, c.now
	a.source = c.sources.hold(from)
	switch {
	case e == nil:
		return c.learnPeer(key, &addr, a)
	case len(e.addresses) == 0:
		return c.learnFirst(e, a)
	}
	return c.learnFurther(e, a)
}

// learnPeer adds a new peer with its first address, if the quotas and its bucket have room.
func (c *catalog) learnPeer(key nodeKey, addr *transport.Address, a address) bool {
	if !c.withinQuota(a.source) {
		c.sources.drop(&a)
		return false
	}
	var id transport.NodeID
	if key.hashed {
		id = addr.ID()
	}
	e := c.insert(key, id)
	if !c.learnFirst(e, a) {
		c.remove(e)
		return false
	}
	c.prune()
	return !e.is(gone) // it may have been the one to go
}

// learnFirst gives a peer without addresses its first one, if its bucket has room.
func (c *catalog) learnFirst(e *entry, a address) bool {
	e.addresses = append(e.addresses, a)
	if !e.is(kept) && !c.enterNew(e, e.is(busy) || a.source.Source.Kind == peerstore.SourceConfig) {
		c.sources.dropAll(e)
		return false
	}
	c.file(e, change{})
	c.changes.note(e)
	return true
}

// learnFurther gives a peer one more address, in the place of a worse one if it has as many as it may.
func (c *catalog) learnFurther(e *entry, a address) bool {
	var ch change
	if len(e.addresses) < c.limits.MaxAddresses {
		e.addresses = append(e.addresses, a)
	} else {
		w := worst(e.addresses)
		if !a.better(&e.addresses[w]) {
			c.sources.drop(&a)
			return false
		}
		c.sources.drop(&e.addresses[w])
		e.addresses[w] = a
		ch.moved = true
	}
	c.file(e, ch)
	c.changes.note(e)
	return true
}

// unwanted reports whether an address is not to be learned: for a ban, or because it means nothing here.
func (c *catalog) unwanted(key *nodeKey, addr *transport.Address, reporter netip.Addr) bool {
	if c.bans.endOfNode(key) > c.now || foreign(addr, reporter) {
		return true
	}
	ip, _ := addr.IP()
	_, end := c.bans.ofIP(ip, c.now)
	return end > 0
}

// foreign reports whether the address is meaningless here: private or loopback, but reported by a peer on another
// network.
func foreign(a *transport.Address, reporter netip.Addr) bool {
	reporter = reporter.Unmap()
	if !reporter.IsValid() || reporter.IsLoopback() || a.IsRoutable() {
		return false
	}
	return transport.IsPublicIP(reporter) || a.IsLoopback()
}
