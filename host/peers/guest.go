package peers

import (
	"maps"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A libp2p node without Switchyard's hello names no network; it is admitted as a guest. Guests that dial us have a
// budget of their own (Config.Guests), and so have those that an operator or the program dials (Config.DialedGuests),
// which evict nobody. A learned peer that we dialed and that turns out to be a guest is
// refused: we looked for peers of our network. It is remembered as a quarantine, which keeps it from being
// dialed and advertised and ends when a link shows that it has joined our network.

// whyGuest is the reason why a learned guest is left alone.
const whyGuest = "a plain libp2p peer, which names no network"

// guests remembers which of the peers that the operator named are guests. They are dialed all the same, so a quarantine
// cannot hold that.
type guests struct {
	store peerstore.Store
	named map[transport.NodeID]bool
}

// recall reads the list of the last run.
func (g *guests) recall(o *operator) {
	for _, id := range splitIDs(g.store.Meta(metaGuests)) {
		if o.exempt(id) {
			g.named[id] = true
		}
	}
}

// set says whether a named peer is a guest.
func (g *guests) set(id transport.NodeID, is bool) {
	if g.named[id] == is {
		return
	}
	if g.named[id] = is; !is {
		delete(g.named, id)
	}
	g.store.SetMeta(metaGuests, joinIDs(slices.Sorted(maps.Keys(g.named))))
}

// rememberGuest records that a peer is a guest.
func (r *recorder) rememberGuest(id transport.NodeID, now time.Time) {
	if r.exempt(id) {
		r.guests.set(id, true)
		return
	}
	r.store.Update(id, func(rec *peerstore.Record) {
		if len(rec.Addresses) > 0 { // without one nobody can dial it, and it is forgotten with its link
			r.quarantine(rec, whyGuest, now)
		}
	})
}
