package host

import (
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Untruth is the first disagreement between the router, the peer manager and the store; "" for none. It holds at any
// moment: tests of networks call it.
func (h *Host) Untruth() string {
	h.links.change.Lock() // what is decided and what is made of it, together
	defer h.links.change.Unlock()
	if why := h.peers.Check(h.hasLink); why != "" {
		return why
	}
	used := map[transport.NodeID]*link{}
	h.links.eachUp(func(l *link) { used[l.peer] = l })
	for id, l := range used {
		if st, _ := h.peers.Status(id); st.LinkID != l.num || st.State != peers.StateUp &&
			st.State != peers.StateLeaving {
			return fmt.Sprintf("services use link %d of %s, the manager says %+v", l.num, id, st)
		}
	}
	for _, id := range h.peers.Peers() {
		if used[id] == nil {
			return fmt.Sprintf("%s is up, and services have no link", id)
		}
	}
	return ""
}

func (h *Host) hasLink(num uint64) bool { return h.links.numbered(num) != nil }

// UntruthAtRest is Untruth, and what else has to agree at a moment when nothing goes on: what can be told of each peer,
// and the store's totals.
func (h *Host) UntruthAtRest() string {
	if why := h.Untruth(); why != "" {
		return why
	}
	now, up := time.Now(), 0
	st := peerstore.Stats{Banned: len(h.cfg.Store.Bans(now))}
	why := ""
	h.cfg.Store.Range(func(rec peerstore.Record) bool {
		if st.Known++; rec.Tried() {
			st.Tried++
		}
		s, _ := h.peers.Status(rec.ID)
		info, is := h.Peer(rec.ID)
		if is {
			up++
		}
		switch {
		case is != (s.State == peers.StateUp || s.State == peers.StateLeaving && !s.Connected.IsZero()):
			why = fmt.Sprintf("%s is up: %v, and its state %s", rec.ID, is, s.State)
		case is && (info.Guest != s.Guest || info.Score != s.Score || info.Trusted != s.Trusted ||
			info.Inbound != s.Inbound || !info.Connected.Equal(s.Connected)):
			why = fmt.Sprintf("peer %+v, status %+v", info, s)
		case rec.Trusted != s.Trusted || rec.Private != s.Private || rec.Unconditional != s.Unconditional ||
			len(rec.Addresses) != s.Addresses:
			why = fmt.Sprintf("record %+v, status %+v", rec, s)
		}
		return why == ""
	})
	st.New = st.Known - st.Tried
	switch got := peerstore.Totals(h.cfg.Store, now); {
	case why != "":
		return why
	case got != st:
		return fmt.Sprintf("the store counts %+v, it has %+v", got, st)
	case up != len(h.Peers()) || up != len(h.peers.Peers()):
		return fmt.Sprintf("%d peers of the store are up, the host has %d, the manager %d", up, len(h.Peers()),
			len(h.peers.Peers()))
	}
	return ""
}
