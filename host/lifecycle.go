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
func (l *link) handOver(ctx context.Context) {
	h := l.host
	h.links.all.Store(l.num, l)
	h.times.handshake(l)
	a := peers.Arrival{ID: l.peer, Side: l.shake.Side, LinkID: l.num, Dialed: l.shake.Dialed,
		IP: l.ip, Confirms: l.shake.Confirm != nil, Guest: l.shake.Remote.Guest}
	if l.shake.Remote.Moves || l.shake.Remote.Replaces != nil || l.replaces != nil {
		l.plan(&a)
	}
	err := h.peers.Arrived(a)
	if err != nil && a.Replaces == 0 && l.awaitVacancy(ctx, err) {
		err = h.peers.Arrived(a)
	}
	if m := l.move.Load(); m != nil && err == nil {
		m.from.move.Store(m) // before the remote hears that we take the link
	}
	if err != nil {
		h.tasks.wg.Go(func() {
			defer h.links.all.Delete(l.num)
			if reason := asReason(err); !l.receive(ctx, reason) {
				_ = l.confirm(ctx, reason)
				l.refuse(reason)
			}
		})
		return
	}
	if ctx.Err() != nil { // the host stops, and may have missed this link
		l.end(&DisconnectError{Code: muxer.CodeShuttingDown})
	}
	if err := l.confirm(ctx, nil); err != nil {
		l.end(asReason(err))
	} else {
		if l.shake.Confirm != nil {
			l.Established()
		} else {
			l.startGrace()
		}
		l.followChanges()
	}
	h.tasks.wg.Go(func() { l.run(ctx) })
}

// vacancyTime is how long a link that dialed us waits for the end of others of its peer.
const vacancyTime = time.Second

// awaitVacancy waits for the end of the links beside which this one is a duplicate, for a moment: a remote that hangs
// up and dials again at once may be faster than the news of the end. It reports whether they have ended. Where the ends
// confirm links the remote waits for our answer; a remote whose other link is up uses that meanwhile.
func (l *link) awaitVacancy(ctx context.Context, refusal error) bool {
	if !l.inbound || l.shake.Confirm == nil || asReason(refusal).Code != muxer.CodeDuplicate {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, vacancyTime)
	defer cancel()
	for _, v := range l.host.links.all.Range {
		if o := v.(*link); o != l && o.peer == l.peer && o.waitEnd(ctx) != nil {
			return false
		}
	}
	return true
}

// confirm ends the handshake where the wire can: each end tells the other whether it takes the link. It returns the
// remote's refusal, or what broke the link.
func (l *link) confirm(ctx context.Context, reason *DisconnectError) error {
	if l.shake.Confirm == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, l.host.cfg.Handshake.Timeout)
	defer cancel()
	if reason == nil {
		return l.shake.Confirm(ctx, nil)
	}
	return l.shake.Confirm(ctx, &handshake.Refusal{Code: reason.Code, Limit: reason.Limit, Reason: reason.Reason})
}

// Established implements muxer.Handler: the remote has accepted the link. If the link is the one that both ends prefer,
// it comes up, and one that is a duplicate now ends.
func (l *link) Established() {
	if !l.accepted.CompareAndSwap(false, true) {
		return
	}
	l.stopGrace()
	h := l.host
	h.links.change.Lock()
	preferred, extra := h.peers.Established(l.peer, l.num)
	if m := l.move.Load(); m != nil && preferred {
		up := l.takeOver(m)
		h.links.change.Unlock()
		if up {
			l.learn()
			l.peering.Load().noteChange(m.from.remote.Load(), l.remote.Load()) // EventMoved tells others
			h.emit(Event{Kind: EventMoved, ID: l.peer, Address: l.address, Inbound: l.inbound,
				Duration: time.Since(l.made), Stages: l.shake.Stages, Source: l.source})
		}
		return
	}
	up := preferred && l.bringUp()
	h.links.change.Unlock()
	if extra != nil {
		if dup := h.links.numbered(extra.LinkID); dup != nil {
			h.tasks.spawn(func() {
				dup.linger()
				dup.end(extra.Reason)
			})
		}
	}
	if up {
		l.announce()
	} else if _, linked := h.links.up.Load(l.peer); linked && !preferred {
		l.tellDialer(nil) // a guest's second link: services use the other one
	}
}

// bringUp makes an established link the one that services use. It reports whether that is new. linkTable.change is
// held.
func (l *link) bringUp() bool {
	if l.peering.Load() != nil {
		return false
	}
	h, t := l.host, &l.host.links
	t.peerings++
	p := &Peering{host: h, id: l.peer, number: t.peerings, since: time.Now(), inbound: l.inbound,
		done: make(chan struct{})}
	if len(h.hooks) > 0 {
		p.heard = make(chan struct{})
	}
	p.link.Store(l)
	l.peering.Store(p)                  // before anyone can see it
	before, had := t.up.Swap(l.peer, l) // before subscribers hear of it, so that they can send at once
	if !h.peers.Ready(l.peer, l.num, p.number, l.channels) {
		if had {
			t.up.Store(l.peer, before)
		} else {
			t.up.Delete(l.peer)
		}
		l.peering.Store(nil)
		p.finish(&DisconnectError{Code: muxer.CodeRequested, Reason: "the links to the peer end"})
		return false
	}
	if had {
		before.(*link).peering.Load().finish(peers.Replaced())
	}
	if p.heard != nil {
		p.introduce()
	} else {
		p.known.Store(true)
	}
	if t.turn != nil {
		close(t.turn)
		t.turn = nil
	}
	return true
}

// announce tells of a link that has come up.
func (l *link) announce() {
	h := l.host
	l.learn()
	if height := l.shake.Remote.Height; height > 0 {
		h.peers.SetHeight(l.peer, height)
	}
	if p := l.peering.Load(); p != nil {
		p.announced.Store(true)
	}
	h.emit(Event{Kind: EventUp, ID: l.peer, Address: l.address, Inbound: l.inbound, Duration: time.Since(l.made),
		Stages: l.shake.Stages, Source: l.source})
	l.tellDialer(nil)
	if !l.remote.Load().Guest {
		return
	}
	for _, v := range h.links.all.Range { // a guest's second link, which is established but does not come up
		if o := v.(*link); o.peer == l.peer && o.accepted.Load() {
			o.tellDialer(nil)
		}
	}
}

// tellDialer tells Host.Dial, if it waits for the link, what came of it. The first call counts; tellDialer reports
// whether this one does.
func (l *link) tellDialer(err error) bool {
	l.mu.Lock()
	done := l.dialDone
	l.dialDone = nil
	l.mu.Unlock()
	if l.host.joins.waiting.Load() > 0 {
		l.host.joins.wake(l.peer)
	}
	if done != nil {
		done <- err
	}
	return done != nil
}

// giveUp ends a link that Host.Dial no longer waits for.
func (l *link) giveUp() {
	reason := &DisconnectError{Code: muxer.CodeRequested, Reason: "the dial was given up"}
	if l.tellDialer(reason) {
		l.end(reason)
	}
}

// startGrace establishes the link after its grace, unless the remote's first packet does. The grace is the configured
// time beyond what the handshake took, which is more than a round trip. If it ended before the remote could answer, two
// nodes that dial each other at once might keep one link each, and a remote that refuses slowly would come up and go
// down. Host.Run waits for the timer's goroutine.
func (l *link) startGrace() {
	grace := l.host.cfg.Limits.Grace
	for _, s := range l.shake.Stages {
		grace += s.Took
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host.tasks.wg.Add(1)
	l.graceWait = time.AfterFunc(grace, func() {
		defer l.host.tasks.wg.Done()
		l.Established()
	})
}

// stopGrace stops the timer, if it has not fired.
func (l *link) stopGrace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.graceWait != nil && l.graceWait.Stop() {
		l.host.tasks.wg.Done()
	}
}

// run runs the link's session until its end, and takes the link out of the node. Another link of its peer may take
// over. A session that was closed before ends at once.
func (l *link) run(ctx context.Context) {
	err := l.session.Run(ctx, l)
	l.stopGrace()
	l.mu.Lock()
	reason := l.reason
	l.mu.Unlock()
	if reason == nil || reason.Code == muxer.CodeMoved {
		reason = asReason(err)
		if l.shake.Farewell != nil {
			if told := l.shake.Farewell(); told != nil {
				reason = asReason(told)
			}
		}
		if ctx.Err() != nil && !reason.Remote {
			reason = &DisconnectError{Code: muxer.CodeShuttingDown}
		}
	}
	h := l.host
	h.links.change.Lock()
	h.links.up.CompareAndDelete(l.peer, l)
	if p := l.peering.Load(); p != nil && p.link.Load() == l {
		p.finish(reason)
	}
	num, isEstablished := h.peers.Disconnected(l.peer, l.num, reason)
	heir := h.links.numbered(num)
	up := heir != nil && isEstablished && heir.bringUp()
	h.links.change.Unlock()
	if up {
		heir.announce()
	}
	if m := l.move.Load(); m != nil {
		l.endMove(m, reason, err)
	}
	l.drop(reason)
	h.links.all.Delete(l.num)
}

// drop does what the end of every link needs.
func (l *link) drop(reason *DisconnectError) {
	h := l.host
	l.over()
	h.memory.leave(l.box)
	h.totals.mu.Lock()
	h.totals.add(l)
	l.counted = true
	h.totals.mu.Unlock()
	l.tellDialer(reason)
	m := l.move.Load()
	if !l.inbound && m == nil {
		h.noteFull(l.peer, reason)
	}
	e := Event{Kind: EventDown, ID: l.peer, Address: l.address, Inbound: l.inbound, Reason: reason,
		Duration: time.Since(l.made), Stages: l.shake.Stages, Source: l.source}
	switch remote := l.remote.Load(); {
	case m != nil && l.moved(): // its peer is up, or another link tells of its end
		return
	case l.peering.Load() != nil:
		e.Inbound = l.peering.Load().inbound
	case m != nil:
		h.moves.failed.Add(1)
		e.Kind, e.Stage = EventMoveFailed, handshake.StageInfo
	case remote.Guest && l.accepted.Load():
		return // the second link of a guest, which nobody has heard of
	case !l.inbound && reason.Remote:
		e.Kind, e.Stage = EventDialFailed, handshake.StageInfo
	case !l.inbound && reason.Code == muxer.CodeInquiryDone:
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
func (l *link) linger() {
	if l.shake.Confirm != nil {
		return
	}
	h := l.host
	if _, busy := h.links.lingering.LoadOrStore(l.peer, struct{}{}); busy {
		return
	}
	defer h.links.lingering.Delete(l.peer)
	t := time.NewTimer(lingerTime)
	defer t.Stop()
	select {
	case <-t.C:
	case <-l.ctx.Done():
	case <-h.tasks.stopped:
	}
}

// refuse ends a link that the peer manager did not take.
func (l *link) refuse(reason *DisconnectError) {
	if reason.Code == muxer.CodeDuplicate {
		l.linger()
	}
	l.end(reason)
	// returns at once: the session is closed; it waits for the session's goroutines
	_ = l.session.Run(context.Background(), l)
	l.drop(reason)
}
