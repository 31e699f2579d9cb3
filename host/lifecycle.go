package host

import (
	"context"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// The life of a link, from its handshake to its end. The peer manager decides what becomes of it (package peers has the
// diagram of its states); this file carries that out.

// handOver begins a link on the goroutine of its handshake, whose stack has grown for that. Then the link lives on a
// fresh goroutine with a small stack.
func (h *Host) handOver(ctx context.Context, l *link) {
	h.links.Store(l.num, l)
	if err := h.admit(l); err != nil {
		h.wg.Go(func() {
			defer h.links.Delete(l.num)
			_ = h.confirm(ctx, l, asReason(err))
			h.refuseLink(l, asReason(err))
		})
		return
	}
	if ctx.Err() != nil { // the host stops, and may have missed this link
		l.end(&DisconnectError{Code: muxer.CodeShuttingDown})
	}
	if err := h.confirm(ctx, l, nil); err != nil {
		l.end(asReason(err))
	} else {
		l.begin()
	}
	h.runLink(ctx, l)
}

// admit asks the peer manager whether to take a link.
func (h *Host) admit(l *link) error {
	arrival := peers.Arrival{ID: l.peer, LinkID: l.num, Dialed: l.shake.Dialed, IP: l.ip,
		Confirms: l.shake.Confirm != nil, Guest: l.shake.Remote.Guest}
	if l.inbound() {
		return h.peers.Accepted(arrival)
	}
	return h.peers.Dialed(arrival)
}

// confirm ends the handshake where the wire can: each end tells the other whether it takes the link. It returns the
// remote's refusal, or what broke the link.
func (h *Host) confirm(ctx context.Context, l *link, reason *DisconnectError) error {
	if l.shake.Confirm == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.upgrader.Timeout())
	defer cancel()
	if reason == nil {
		return l.shake.Confirm(ctx, nil)
	}
	return l.shake.Confirm(ctx, &handshake.Refusal{Code: reason.Code, Limit: reason.Limit, Reason: reason.Reason})
}

// begin establishes a link that both ends have confirmed. On other wires it lets the grace of the link begin.
func (l *link) begin() {
	if l.shake.Confirm != nil {
		l.established()
	} else {
		l.startGrace()
	}
	l.followChanges()
}

// established records that the remote has accepted the link. If the link is the one that both ends prefer, it comes up,
// and one that is a duplicate now ends.
func (l *link) established() {
	if !l.accepted.CompareAndSwap(false, true) {
		return
	}
	l.stopGrace()
	h := l.host
	h.change.Lock()
	preferred, extra := h.peers.Established(l.peer, l.num)
	up := preferred && h.bringUp(l)
	h.change.Unlock()
	if extra != nil {
		if dup := h.link(extra.LinkID); dup != nil {
			h.spawn(func() {
				h.linger(dup)
				dup.end(extra.Reason)
			})
		}
	}
	if up {
		h.announce(l)
	}
}

// bringUp makes an established link the one that services use. It reports whether that is new. Host.change is held.
func (h *Host) bringUp(l *link) bool {
	if l.connected.Load() != nil {
		return false
	}
	now := time.Now()
	l.connected.Store(&now)             // before anyone can see it
	before, had := h.up.Swap(l.peer, l) // before subscribers hear of it, so that they can send at once
	if h.peers.Ready(l.peer, l.num, l.channels()) {
		return true
	}
	if had {
		h.up.Store(l.peer, before)
	} else {
		h.up.Delete(l.peer)
	}
	l.connected.Store(nil)
	return false
}

// announce tells of a link that has come up.
func (h *Host) announce(l *link) {
	h.learn(l)
	if height := l.shake.Remote.Height; height > 0 {
		h.peers.SetHeight(l.peer, height)
	}
	h.emit(Event{Kind: EventUp, ID: l.peer, Address: l.address(), Inbound: l.inbound(), Duration: time.Since(l.made)})
	l.tellDialer(nil)
}

// tellDialer tells Host.Dial, if it waits for the link, what came of it. The first call counts.
func (l *link) tellDialer(err error) {
	l.mu.Lock()
	done := l.dialDone
	l.dialDone = nil
	l.mu.Unlock()
	if done != nil {
		done <- err
	}
}

// startGrace establishes the link after its grace. Host.Run waits for the timer's goroutine.
func (l *link) startGrace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host.wg.Add(1)
	l.graceWait = time.AfterFunc(l.grace(), func() {
		defer l.host.wg.Done()
		l.established()
	})
}

// grace returns how long a link that the ends cannot confirm waits for the remote's first packet before it counts as
// established without one: the configured time, and on a slow path more than a round trip, of which a handshake takes
// at least one and a half. If it ended before the remote could answer, two nodes that dial each other at once might
// keep one link each.
func (l *link) grace() time.Duration {
	var took time.Duration
	for _, s := range l.shake.Stages {
		took += s.Took
	}
	return max(l.host.cfg.Limits.Grace, 2*took)
}

// stopGrace stops the timer, if it has not fired.
func (l *link) stopGrace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.graceWait != nil && l.graceWait.Stop() {
		l.host.wg.Done()
	}
}

// runLink starts the goroutine that runs a link's session until its end. A session that was closed before ends at once.
func (h *Host) runLink(ctx context.Context, l *link) {
	h.wg.Go(func() {
		err := l.session.Run(ctx, l)
		l.stopGrace()
		reason := l.ended()
		if reason == nil {
			reason = asReason(err)
			if ctx.Err() != nil && !reason.Remote {
				reason = &DisconnectError{Code: muxer.CodeShuttingDown}
			}
		}
		h.linkOver(l, reason)
	})
}

// linkOver takes a link that has ended out of the node. Another link of its peer may take over.
func (h *Host) linkOver(l *link, reason *DisconnectError) {
	h.change.Lock()
	h.up.CompareAndDelete(l.peer, l)
	num, isEstablished := h.peers.Disconnected(l.peer, l.num, reason)
	heir := h.link(num)
	up := heir != nil && isEstablished && h.bringUp(heir)
	h.change.Unlock()
	if up {
		h.announce(heir)
	}
	h.drop(l, reason)
	h.links.Delete(l.num)
}

// drop does what the end of every link needs.
func (h *Host) drop(l *link, reason *DisconnectError) {
	l.over()
	l.leaveInboxes()
	h.totals.close(l)
	l.tellDialer(reason)
	e := Event{Kind: EventDown, ID: l.peer, Address: l.address(), Inbound: l.inbound(), Reason: reason,
		Duration: time.Since(l.made)}
	switch remote := l.remote.Load(); {
	case l.connected.Load() != nil:
	case remote.Guest && l.accepted.Load():
		return // the second link of a guest, which nobody has heard of
	case !l.inbound() && reason.Remote:
		e.Kind, e.Stage = EventDialFailed, handshake.StageInfo
	case !l.inbound() && reason.Code == muxer.CodeInquiryDone:
		e.Kind, e.Stage = EventFeeler, handshake.StageInfo
	default:
		e.Kind, e.Stage = EventRefused, handshake.StageInfo
	}
	h.emit(e)
}

// lingerTime is how long a duplicate is kept.
const lingerTime = 500 * time.Millisecond

// linger keeps a duplicate open, unused, for a moment. Otherwise a CometBFT node that is about to drop it too may see
// it end before it has, and then forgets the link that it keeps as well: it removes peers from its set by their id
// (p2p/switch.go, stopAndRemovePeer), while that link lives on unlisted. One duplicate a peer is kept at a time; more
// are closed at once.
func (h *Host) linger(l *link) {
	if l.shake.Confirm != nil {
		return
	}
	if _, busy := h.lingering.LoadOrStore(l.peer, struct{}{}); busy {
		return
	}
	defer h.lingering.Delete(l.peer)
	t := time.NewTimer(lingerTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ctx.Done():
	case <-h.stopped:
	}
}

// refuseLink ends a link that the peer manager did not take.
func (h *Host) refuseLink(l *link, reason *DisconnectError) {
	if l.inbound() {
		h.refused.Add(1)
	}
	if reason.Code == muxer.CodeDuplicate {
		h.linger(l)
	}
	l.end(reason)
	// returns at once: the session is closed; it waits for the session's goroutines
	_ = l.session.Run(context.Background(), l)
	h.drop(l, reason)
}
