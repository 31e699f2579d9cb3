package peers

import (
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// linkState is how far a link is:
//
//	                 Arrived
//	           ┌────────┴─────────┐
//	preferred  ▼                  ▼  another link of the peer is preferred
//	      handshaken ◄─────────► standby
//	           │                  │
//	           └────────┬─────────┘
//	                    ▼  Established: the remote has accepted it
//	               established
//	                    │
//	                    ▼  Ready: it is the preferred one
//	                    up
//
//	      any state ──► closing ──► gone, with Disconnected
//
// The preferred link is the one that both ends keep if both of them see the same links: see join. Another one stands by
// because the remote may decline the preferred one; then it takes over, and at once if it is established already. When
// the preferred link is established, the other one is a duplicate and closes, except for a guest: go-libp2p keeps two
// connections and uses both, so the second one goes on serving the streams that the remote opens, in the same slot.
//
// A link that replaces another one in a move stands by until it is established. Then it takes over: see takeOver.
type linkState uint8

const (
	handshaken  linkState = iota // taken; the remote may still decline it
	standby                      // taken, but another link of the peer is preferred
	established                  // the remote has accepted it: it said so, or used it; or its time to decline is over
	up                           // services use it; at most one link of a peer
	closing                      // a duplicate, or its end was asked for
)

// link is a link that has passed its handshake.
type link struct {
	id       uint64
	peer     *peer
	state    linkState
	inbound  bool
	confirms bool // both ends say whether they take it
	guest    bool
	newcomer bool // it dialed us, and we had never had a link of its peer
	redial   bool // it replaces an established link: see redialedBy
	slot     slot
	bid      slot      // in slotEntry: the budget that it waits for
	churn    bool      // as in dial
	lost     time.Time // as in dial
	dialed   transport.Address
	ip       netip.Addr
	group    peerstore.Group // of ip
	named    peerstore.Group // of dialed
	moveTo   []transport.Address
	replaces *link // in a move, until the link takes over
	moved    bool  // it has taken over

	arrived  time.Time
	ready    time.Time // zero: not yet
	channels []byte
	useful   int           // points that services gave it
	latency  time.Duration // 0: unknown

	reason *DisconnectError // of closing
	told   bool             // closing, and the router knows
}

// peer is a peer that is linked or being dialed.
type peer struct {
	id        transport.NodeID
	dial      *dial   // nil: it is not being dialed
	preferred *link   // the link that both ends keep, as far as we know; it may be closing
	standby   *link   // takes over when preferred ends
	retired   []*link // closing, and no longer of use: others have taken their place
	found     bool    // it was lost in a cut and is back
	inUse     *link   // the link that services use: the last one that came up, until its end

	tag      int  // points of Tag
	busy     bool // Record.Busy, as the store has it
	hopeless bool // to be removed from the store once it is idle

	// What subscribers know.
	up       bool
	peering  uint64
	inbound  bool
	guest    bool
	channels []byte
}

// dial is a dial in progress.
type dial struct {
	slot      slot
	first     transport.Address // the address that is dialed first; zero for an operator's dial
	requested bool              // an operator asked for it
	churn     bool              // in slotUpgrade: it is an exchange by chance
	lost      time.Time         // when the peer was lost in a cut; zero: it was not
	moves     *link             // in slotMove: what is to be replaced
}

// open returns the links that are not retired, the preferred one first.
func (p *peer) open() []*link {
	out := make([]*link, 0, 2)
	for _, l := range [...]*link{p.preferred, p.standby} {
		if l != nil {
			out = append(out, l)
		}
	}
	return out
}

func (p *peer) idle() bool {
	return p.dial == nil && p.preferred == nil && p.standby == nil && len(p.retired) == 0
}

// simultaneity is how long after a link's arrival another link of the peer may be the other half of a simultaneous
// dial, rather than a new attempt of a remote that has lost the first. A dial and its handshake take less, so both ends
// see both links within it.
const simultaneity = 15 * time.Second

// redialAfter is how old a link must be before another one that the same remote dials replaces it, on a wire where the
// ends do not confirm links. Until then it may be the other half of a simultaneous dial.
const redialAfter = 5 * time.Second

// settled reports whether the remote is known to have taken the link for its only one, so that another is a duplicate.
func (l *link) settled(now time.Time) bool {
	return l.state >= established || now.Sub(l.arrived) >= simultaneity
}

// prefers reports whether l is the one to keep of two links: the one that the lower node id dialed; of two that the
// same end dialed, the older one.
func (l *link) prefers(old *link, self transport.NodeID) bool {
	return l.inbound != old.inbound && !l.inbound == (self < old.peer.id)
}

// shares reports whether a new link of a linked peer is the second one of a guest, which uses both.
func (p *peer) shares(l *link) bool {
	c := p.preferred
	return l.guest && c.guest && c.state != closing && p.standby == nil
}

// redialedBy reports whether a new link from the peer replaces its settled one. The remote would not have dialed if it
// still had that: it has rebooted, or (CometBFT) lost track of it. The old link stays until the new one is established;
// then subscribers hear that the peer went down and came up.
func (p *peer) redialedBy(inbound, guest bool, now time.Time) bool {
	c := p.preferred
	switch {
	case !inbound, c == nil || c.state == closing, p.standby != nil, c.guest && guest, !c.settled(now):
		return false
	}
	if c.confirms { // the ends agree on links, so dials may take as long as they like
		return now.Sub(c.arrived) > simultaneity
	}
	return now.Sub(c.arrived) > redialAfter
}

// duplicate is why a link ends beside which another one of the peer stays.
func duplicate() *DisconnectError {
	return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has another link"}
}

// Replaced is why a link ends that gives way to a newer one.
func Replaced() *DisconnectError {
	return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "replaced by a newer link"}
}

// checkDuplicate refuses a new link of a linked peer that is one too many. While the remote may still decline the
// preferred one, none is.
//
// Which of two simultaneous dials both ends keep: where the ends confirm links, the lower node id decides. It takes the
// first link that comes and refuses the second. The higher one takes what it gets, so the two never take different
// ones, and no link is given up that was in use. On a wire without that (comet) both take both, and keep the preferred
// one.
func (p *peer) checkDuplicate(l *link, self transport.NodeID, now time.Time) *DisconnectError {
	c := p.preferred
	if c.state == closing || p.shares(l) || p.redialedBy(l.inbound, l.guest, now) {
		return nil
	}
	if c.settled(now) || p.standby != nil || c.confirms && l.confirms && self < p.id {
		return duplicate()
	}
	return nil
}

// join adds a link to those of its peer and decides which one is preferred.
func (t *table) join(l *link, now time.Time) {
	p, old := l.peer, l.peer.preferred
	if old == nil {
		p.preferred = l
		return
	}
	l.redial = p.redialedBy(l.inbound, l.guest, now)
	switch {
	case old.state == closing: // a request closes all links of a peer, the standby too
		for _, o := range p.open() {
			t.retire(o)
		}
		p.preferred = l
	case l.redial, !old.settled(now) && l.prefers(old, t.self):
		if old.state == handshaken {
			old.state = standby
		}
		switch {
		case l.slot == slotNone: // see shares
			s := old.slot
			t.setSlot(old, slotNone)
			t.setSlot(l, s)
			l.bid = old.bid
		case l.redial && l.slot == old.slot: // lent: if the new link ends first, the old one gets it back
			t.setSlot(old, slotNone)
		}
		p.preferred, p.standby = l, old
	default:
		l.state, p.standby = standby, l
	}
}

// establish records that the remote has accepted a link. It reports whether that is the preferred one, and which link
// is a duplicate now.
func (t *table) establish(l *link) (preferred bool, extra *link) {
	if l.state == closing {
		return false, nil
	}
	p := l.peer
	if old := l.replaces; old != nil {
		if p.preferred != old || old.state != up {
			return false, nil
		}
		t.takeOver(l)
		return true, old
	}
	l.state = max(l.state, established)
	if p.preferred != l {
		return false, nil
	}
	if s := p.standby; s != nil && !(s.guest && l.guest) {
		s.reason, s.told = duplicate(), true
		if s.id < l.id {
			s.reason = Replaced()
		}
		t.retire(s)
		return true, s
	}
	return true, nil
}

// retire makes way for another link of the peer: l only waits for its end, and holds no slot.
func (t *table) retire(l *link) {
	p := l.peer
	if p.preferred == l {
		p.preferred = nil
	} else {
		p.standby = nil
	}
	t.setSlot(l, slotNone)
	l.state = closing
	p.retired = append(p.retired, l)
}

// end removes a link. It returns the standby that takes over; nil for none.
func (t *table) end(l *link) (heir *link) {
	p, held := l.peer, l.slot
	t.removeLink(l)
	if p.inUse == l {
		p.inUse = nil
	}
	switch l {
	case p.preferred:
		p.preferred = nil
		if s := p.standby; s != nil && (s.state == closing || s.replaces == l) {
			t.retire(s)
		} else if s != nil {
			p.preferred, p.standby, heir = s, nil, s
			if s.state == standby {
				s.state = handshaken
			}
		}
	case p.standby:
		p.standby = nil
	default:
		p.retired = slices.DeleteFunc(p.retired, func(o *link) bool { return o == l })
	}
	if o := p.preferred; heir != nil && o.slot == slotNone { // its slot was lent or shared
		t.setSlot(o, held)
		o.bid = l.bid
	}
	return heir
}
