package host

import (
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// Ban refuses a node id, an IP or a network until the given time (the zero time: for ever), and ends the links that
// match. It is the peer manager's Ban, which it also tells the log and the events.
func (h *Host) Ban(target peerstore.Target, until time.Time, reason string) error {
	err := h.peers.Ban(target, until, reason)
	if err == nil {
		h.emit(eventOfBan(peerstore.Ban{Target: target, Until: until, Reason: reason}))
	}
	return err
}

// Unban lifts a ban. It reports whether there was one.
func (h *Host) Unban(target peerstore.Target) (bool, error) {
	was, err := h.peers.Unban(target)
	if was {
		h.emit(Event{Kind: EventUnban, ID: target.ID, Address: target.String()})
	}
	return was, err
}

func eventOfBan(b peerstore.Ban) Event {
	until := "for ever"
	if !b.Until.IsZero() {
		until = "until " + b.Until.Format(time.RFC3339)
	}
	if b.Reason != "" {
		until += ": " + b.Reason
	}
	return Event{Kind: EventBan, ID: b.Target.ID, Address: b.Target.String(),
		Reason: &DisconnectError{Code: muxer.CodeBanned, Reason: until}}
}
