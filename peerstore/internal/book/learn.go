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
		for i := range e.addresses {
			if a := &e.addresses[i]; a.is(&addr) {
				c.hearAgain(e, a, from)
				return false
			}
		}
	}
	if !from.Configured() && (e == nil || !e.is(trusted)) && c.unwanted(&key, &addr, from.IP) {
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

// hearAgain notes that a source reports an address of e that is known. What is configured now counts as such.
func (c *catalog) hearAgain(e *entry, a *address, from peerstore.Source) {
	if from.Configured() && !a.source.Configured() {
		c.sources.drop(a)
		a.source = c.sources.hold(from)
		c.file(e, change{moved: a == &e.addresses[0]})
	} else if age := c.now - a.lastHeard; age >= 0 && age < int64(heardGrain) {
		return
	}
	a.lastHeard = c.now
	c.changes.note(e)
}

// learnPeer adds a new peer with its first address, if the quotas and its bucket have room.
func (c *catalog) learnPeer(key nodeKey, addr *transport.Address, a address) bool {
	if !a.source.Configured() && !c.withinQuota(a.source) {
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
	if !e.is(kept) && !a.source.Configured() && !c.enterNew(e, e.is(busy)) {
		c.sources.dropAll(e)
		return false
	}
	c.file(e, change{})
	c.changes.note(e)
	return true
}

// learnFurther gives a peer one more address, in the place of a worse one if it has as many as it may.
func (c *catalog) learnFurther(e *entry, a address) bool {
	had := len(e.addresses)
	list, ok := c.sources.fit(e.addresses, a, c.limits.MaxAddresses)
	if ok {
		e.addresses = list
		c.file(e, change{moved: len(list) == had})
		c.changes.note(e)
	}
	return ok
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

// broadcast is the IP of all nodes of a local network.
var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// foreign reports whether the address leads nowhere from here: its IP is none of a node, or it is private or loopback,
// but reported by a peer on another network.
func foreign(a *transport.Address, reporter netip.Addr) bool {
	if ip, _ := a.IP(); ip.IsMulticast() || ip.IsUnspecified() || ip == broadcast {
		return true
	}
	reporter = reporter.Unmap()
	if !reporter.IsValid() || reporter.IsLoopback() || a.IsRoutable() {
		return false
	}
	return transport.IsPublicIP(reporter) || a.IsLoopback()
}
