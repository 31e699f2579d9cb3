package host

import (
	"context"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// pulse is how often the peer manager learns the round trips of the links, one of the grounds that protect them.
	pulse = 30 * time.Second
	// stalePulses is after how many pulses without a new round trip (on wires whose keep-alive measures none) we ping.
	stalePulses  = 10
	pulseTimeout = 10 * time.Second
)

// spare reports whether the link is a guest's second one that carried nothing for one pulse or more. The pulse loop
// calls it.
func (l *link) spare() bool {
	if !l.shake.Remote.Guest || !l.accepted.Load() || l.peering.Load() != nil {
		return false
	}
	open, begun := l.streams.count()
	used := begun + l.session.Stats().ReceivedMessages
	idle := l.checked && open == 0 && used == l.used
	l.checked, l.used = true, used
	return idle
}

// pulseLoop reads the round trips that sessions have measured.
func (r *router) pulseLoop(ctx context.Context) {
	h := r.host
	for sleep(ctx, pulse) {
		h.Reach.update(time.Now())
		h.links.all.Range(func(_, v any) bool {
			if l := v.(*link); l.spare() {
				h.tasks.wg.Go(func() {
					l.end(&DisconnectError{Code: muxer.CodeDuplicate, Reason: "a second link without streams"})
				})
			}
			return true
		})
		h.links.eachUp(func(l *link) {
			p := PeerInfo{Stats: l.session.Stats()}
			l.meter.observe(l, &p)
			rtt := p.Stats.RTT
			if rtt != l.rtt {
				l.rtt, l.stale = rtt, 0
				h.peers.SetLatency(l.peer, rtt)
				h.times.roundTrips.Observe(rtt.Seconds())
				return
			}
			if l.stale++; l.stale < stalePulses {
				return
			}
			l.stale = 0
			h.tasks.wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, pulseTimeout)
				defer cancel()
				_, _ = l.session.Ping(ctx) // the next pulse reads it; a link that is dead finds out by itself
			})
		})
	}
}
