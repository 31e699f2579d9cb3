package book

import "github.com/switchyard-p2p/switchyard/peerstore"

// How often the dials of a peer must fail in a row until it is forgotten: one that never worked, and one that has not
// worked for a week (a link that the peer began counts as well).
const (
	attemptsUntried = 10
	attemptsTried   = 20
)

// floor is how many peers of each table stay whatever fails, or a quarter of MaxPeers.
const floor = 1000

// judgeDial takes note of what an update says of a dial of e, which had failures and was last dialed at a time before.
// A failure is evidence only if, since that dial, another one worked in this run: else the fault may be ours.
func (c *catalog) judgeDial(e *entry, failures uint16, dialed int64, ch change) {
	elsewhere := &c.worked[b2i(e.reach() != nearby)]
	switch {
	case ch.worked:
		*elsewhere = max(*elsewhere, min(e.lastWorked(), c.now))
		fallthrough
	case e.failures == 0:
		e.missed = 0
	case e.failures > failures && *elsewhere > dialed && e.missed < attemptsTried:
		e.missed++
	}
}

// forget removes e if it is idle and does not answer any more. What the operator named stays, and so do peers up to a
// floor.
func (c *catalog) forget(e *entry) {
	if e.missed < attemptsUntried || e.is(kept|private|busy|gone) {
		return
	}
	known := len(c.peers) - c.tried
	if e.table == peerstore.Tried {
		known = c.tried
	}
	last := max(e.lastWorked(), e.details.lastConnected)
	if known <= min(floor, c.limits.MaxPeers/4) || last != 0 && (e.missed < attemptsTried || c.now-last < 7*day) {
		return
	}
	for i := range e.addresses {
		if e.addresses[i].failures < attemptsUntried {
			return
		}
	}
	c.forgot++
	c.remove(e)
}
