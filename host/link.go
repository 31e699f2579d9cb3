package host

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// link is one link to a peer: what the handshake made, and its place in the node. It has no goroutine of its own: its session has, while there is
// something to do.
type link struct {
	host    *Host
	num     uint64 // name of the link towards the peer manager
	peer    transport.NodeID
	session muxer.Session
	shake   *handshake.Link
	remote  atomic.Pointer[handshake.NodeInfo] // what the remote says of itself now
	ctx     context.Context                    // ends with the link
	over    context.CancelFunc
	ip      netip.Addr
	common  [4]uint64 // bitmap of the channels that both ends serve
	made    time.Time

	streams linkStreams
	push    pushState
	inboxes []*inbox // by Channel.index of the host's channels; entries are made at the first message

	excess atomic.Int64 // bytes beyond the budgets of its inboxes
	paused atomic.Bool  // its session waits in Deliver
	room   chan struct{}

	rtt   time.Duration // as the pulse loop has seen it last; its own
	stale int           // pulses since

	counted  bool          // its counters are in Host.totals, whose lock guards this
	promoted chan struct{} // closed when a standby takes over
	promote  sync.Once

	mu        sync.Mutex
	reason    *DisconnectError // why we ended it; the first one counts
	ready     bool             // reported as up
	settled   bool             // the grace is over
	current   bool             // the one that services use, as far as the peer manager has said
	graceWait *time.Timer
	connected time.Time
	dialDone  chan<- error // told once when the link is ready or has ended; may be nil
}

func (l *link) serves(ch byte) bool { return l.common[ch>>6]&(1<<(ch&63)) != 0 }

func (h *Host) newLink(s *handshake.Link, ip netip.Addr) *link {
	l := &link{host: h, num: h.linkNum.Add(1), peer: s.ID(), session: s.Session, shake: s, ip: ip, made: time.Now(),
		room: make(chan struct{}, 1), promoted: make(chan struct{}), inboxes: make([]*inbox, len(h.channels))}
	l.remote.Store(&s.Remote)
	l.ctx, l.over = context.WithCancel(context.Background())
	for _, ch := range s.Remote.Channels {
		if h.channelOf(ch) != nil {
			l.common[ch>>6] |= 1 << (ch & 63)
		}
	}
	return l
}

func (l *link) channels() []byte {
	var out []byte
	for _, c := range l.host.channels {
		if l.serves(c.desc.ID) {
			out = append(out, c.desc.ID)
		}
	}
	return out
}

// inboxOf returns the link's inbox of a channel; Channel.mu is held.
func (l *link) inboxOf(c *Channel) *inbox {
	ib := l.inboxes[c.index]
	if ib == nil {
		if ib = c.inboxes[l.peer]; ib == nil {
			ib = &inbox{peer: l.peer}
			c.inboxes[l.peer] = ib
		}
		l.inboxes[c.index] = ib
		ib.links++
	}
	ib.fillBy(l, int64(c.desc.ReceiveQueue))
	return ib
}

// leaveInboxes lets go of the inboxes; what waits in them is still received.
func (l *link) leaveInboxes() {
	for i, ib := range l.inboxes {
		if ib == nil {
			continue
		}
		c := l.host.channels[i]
		c.mu.Lock()
		ib.links--
		if ib.link == l {
			ib.link = nil
			l.excess.Add(-ib.over(int64(c.desc.ReceiveQueue)))
		}
		if ib.links == 0 && ib.empty() {
			delete(c.inboxes, ib.peer)
		}
		shared := ib.links > 0
		c.mu.Unlock()
		if shared { // the other link may wait for room that it has now
			l.host.memory.resumeAll()
		}
	}
}

// Alive implements muxer.Liveness: the first packet of any kind has come. On a wire without a final accept this is the proof that
// the remote has accepted the link.
func (l *link) Alive() { l.settle() }

// listenerPatience is how long the listening end waits for the remote to speak before it asks. A dialer of ours asks at once; a CometBFT node says nothing
// by itself until its next ping.
const listenerPatience = 50 * time.Millisecond

// Patience implements muxer.Liveness: the dialing end asks at once, and the listening end's answer is its sign of life; two questions would cost twice the packets.
func (l *link) Patience() time.Duration {
	if l.inbound() {
		return listenerPatience
	}
	return 0
}

// settle reports the link as up (if it is the peer's current one) and ends the grace.
func (l *link) settle() {
	l.mu.Lock()
	if l.settled {
		l.mu.Unlock()
		return
	}
	l.settled = true
	l.mu.Unlock()
	l.stopGrace()
	if dup := l.host.link(l.host.peers.Graced(l.peer, l.num)); dup != nil {
		reason := &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has another link"}
		if dup.num < l.num {
			reason = peers.Replaced()
		}
		l.host.spawn(func() {
			l.host.linger(dup)
			dup.end(reason)
		})
	}
	l.report()
}

// report makes the link the one that services use and tells subscribers, once.
func (l *link) report() {
	if !l.goUp() {
		return
	}
	l.host.learn(l)
	if height := l.shake.Remote.Height; height > 0 {
		l.host.peers.SetHeight(l.peer, height)
	}
	l.host.emit(Event{Kind: EventUp, ID: l.peer, Address: l.address(), Inbound: l.inbound(), Duration: time.Since(l.made)})
	l.tellDialer(nil)
}

// goUp makes the link the one that services use, if it is the peer's current one and its grace is over; false when nothing changed.
func (l *link) goUp() bool {
	l.host.change.Lock()
	defer l.host.change.Unlock()
	l.mu.Lock()
	due := !l.ready && l.current && l.settled
	if due {
		l.connected = time.Now() // before anybody can see it
	}
	l.mu.Unlock()
	if !due {
		return false
	}
	before, had := l.host.up.Swap(l.peer, l) // before subscribers hear of it, so that they can send at once
	if !l.host.peers.Ready(l.peer, l.num, l.channels()) {
		if had {
			l.host.up.Store(l.peer, before)
		} else {
			l.host.up.Delete(l.peer)
		}
		return false
	}
	l.mu.Lock()
	l.ready = true
	l.mu.Unlock()
	return true
}

// tellDialer says what came of the dial that Host.Dial waits for, if one does. The first call counts.
func (l *link) tellDialer(err error) {
	l.mu.Lock()
	done := l.dialDone
	l.dialDone = nil
	l.mu.Unlock()
	if done != nil {
		done <- err
	}
}

// startGrace lets the grace end by itself; Run waits for the timer's goroutine. l.mu is held.
func (l *link) startGrace() {
	l.host.wg.Add(1)
	l.graceWait = time.AfterFunc(l.grace(), func() {
		defer l.host.wg.Done()
		l.settle()
	})
}

// grace is how long a link without an accept message waits for the remote's first sign of life before it counts as ready without one: the configured
// time, and on a slow path more than a round trip, of which a handshake takes one and a half at least. Ending it before the remote can have answered is how two
// nodes that dial each other at once would settle on one link each.
func (l *link) grace() time.Duration {
	var took time.Duration
	for _, s := range l.shake.Stages {
		took += s.Took
	}
	return max(l.host.cfg.Limits.Grace, 2*took)
}

// stopGrace ends the timer, if it has not fired.
func (l *link) stopGrace() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.graceWait != nil && l.graceWait.Stop() {
		l.host.wg.Done()
	}
}

func (l *link) inbound() bool { return l.shake.Side == muxer.Listener }

func (l *link) address() string {
	if !l.shake.Dialed.IsZero() {
		return l.shake.Dialed.String()
	}
	if l.shake.RemoteAddr != nil {
		return l.shake.RemoteAddr.String()
	}
	return ""
}

// end closes the link for a reason of ours; Run returns soon after. The first reason counts.
func (l *link) end(reason *DisconnectError) {
	l.mu.Lock()
	if l.reason == nil {
		l.reason = reason
	} else {
		reason = l.reason
	}
	l.mu.Unlock()
	l.promote.Do(func() { close(l.promoted) }) // a standby stops waiting
	_ = l.session.Close(reason.Code, reason.Reason)
}

// peerID is the remote's node id as libp2p writes it.
func (l *link) peerID() string {
	if id := l.shake.Remote.PeerID; id != "" { // the wire has computed it, of the proven key
		return id
	}
	return l.shake.RemoteKey.PeerID()
}

func (l *link) ended() *DisconnectError {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}

// handOver begins a link on the goroutine of its handshake, whose stack has grown for that. Then it lives without a goroutine, or on a fresh one with a small stack.
func (h *Host) handOver(ctx context.Context, l *link) {
	arrival := peers.Arrival{ID: l.peer, Side: l.shake.Side, Dialed: l.shake.Dialed, IP: l.ip, LinkID: l.num, Acked: l.shake.Acked(), Guest: l.shake.Remote.Guest}
	h.links.Store(l.num, l)
	verdict, err := h.admit(l, arrival)
	if err != nil {
		h.wg.Go(func() {
			defer h.links.Delete(l.num)
			_ = h.agree(ctx, l, asReason(err))
			h.refuseLink(l, asReason(err))
		})
		return
	}
	if ctx.Err() != nil { // the host stops: it may have missed this link
		l.end(&DisconnectError{Code: muxer.CodeShuttingDown})
	}
	err = h.agree(ctx, l, nil) // a standby too: for the remote it may be the one that counts
	switch {
	case err != nil:
		h.wg.Go(func() {
			l.end(asReason(err))
			_ = l.session.Run(context.Background(), l)
			h.linkOver(l, l.ended())
		})
	case verdict.Standby:
		h.wg.Go(func() {
			<-l.promoted // ends by promotion, or by end(): grace, host stop, or the current link settling
			if reason := l.ended(); reason != nil {
				h.peers.Disconnected(l.peer, l.num, reason)
				h.drop(l, reason)
				h.links.Delete(l.num)
				return
			}
			l.begin()
			h.runLink(ctx, l)
		})
	default:
		l.begin()
		h.runLink(ctx, l)
	}
}

// begin reports a link as up, or lets its grace begin.
func (l *link) begin() {
	l.mu.Lock()
	if l.shake.Acked() {
		l.mu.Unlock()
		l.settle()
	} else {
		if !l.settled {
			l.startGrace()
		}
		l.mu.Unlock()
		l.report()
	}
	l.followChanges()
}

// runLink lets a link live, and does not wait for its end.
func (h *Host) runLink(ctx context.Context, l *link) {
	h.wg.Add(1)
	ended := func(err error) {
		defer h.wg.Done()
		l.stopGrace()
		reason := l.ended()
		if reason == nil {
			reason = asReason(err)
			if ctx.Err() != nil && !reason.Remote {
				reason = &DisconnectError{Code: muxer.CodeShuttingDown}
			}
		}
		h.linkOver(l, reason)
	}
	if s, ok := l.session.(muxer.Starter); ok {
		if err := s.Start(ctx, l, ended); err != nil {
			ended(err)
		}
		return
	}
	go func() { ended(l.session.Run(ctx, l)) }()
}

// linkOver takes a link that has ended out of the node.
func (h *Host) linkOver(l *link, reason *DisconnectError) {
	if heir := h.leave(l, reason); heir != nil {
		heir.inherit()
	}
	h.drop(l, reason)
	h.links.Delete(l.num)
}

// agree ends the handshake where the wire can: each end tells the other whether it takes the link. It returns the remote's refusal, or what broke the link.
func (h *Host) agree(ctx context.Context, l *link, reason *DisconnectError) error {
	if l.shake.Agree == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, h.upgrader.Timeout())
	defer cancel()
	if reason == nil {
		return l.shake.Agree(ctx, nil)
	}
	return l.shake.Agree(ctx, &handshake.Refusal{Code: reason.Code, Limit: reason.Limit, Reason: reason.Reason})
}

// admit asks the peer manager for its verdict on a new link and carries it out.
func (h *Host) admit(l *link, arrival peers.Arrival) (verdict peers.Verdict, err error) {
	h.change.Lock()
	defer h.change.Unlock()
	if l.inbound() {
		verdict, err = h.peers.Accepted(arrival)
	} else {
		verdict, err = h.peers.Dialed(arrival)
	}
	if err != nil || verdict.Standby {
		return verdict, err
	}
	if old := h.link(verdict.Replaces); old != nil {
		old.setCurrent(false) // it goes on running, and services go on using it, if they did, until the other one is ready
	}
	l.setCurrent(true)
	return verdict, nil
}

// leave tells the peer manager that a link has ended. It returns the standby that is the peer's current link from now on, if there is one.
func (h *Host) leave(l *link, reason *DisconnectError) (heir *link) {
	h.change.Lock()
	defer h.change.Unlock()
	h.up.CompareAndDelete(l.peer, l)
	if heir = h.link(h.peers.Disconnected(l.peer, l.num, reason)); heir != nil {
		heir.setCurrent(true)
	}
	return heir
}

func (l *link) setCurrent(is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.current = is
}

// inherit lets a standby that has become the current link begin its work.
func (l *link) inherit() {
	l.promote.Do(func() { close(l.promoted) })
	l.report()
}

// drop does what every link's end needs.
func (h *Host) drop(l *link, reason *DisconnectError) {
	l.over()
	l.leaveInboxes()
	h.totals.close(l)
	l.mu.Lock()
	wasReady := l.ready
	l.mu.Unlock()
	l.tellDialer(reason)
	e := Event{Kind: EventDown, ID: l.peer, Address: l.address(), Inbound: l.inbound(), Reason: reason, Duration: time.Since(l.made)}
	if !wasReady {
		e.Kind, e.Stage = EventRefused, handshake.StageInfo
		if !l.inbound() && reason.Remote {
			e.Kind = EventDialFailed
		} else if !l.inbound() && reason.Code == muxer.CodeInquiryDone {
			e.Kind = EventFeeler
		}
	}
	h.emit(e)
}

// lingerTime is how long a duplicate is kept.
const lingerTime = 500 * time.Millisecond

// linger keeps a duplicate open, unused, for a moment. A CometBFT node that is about to drop it too may otherwise see it end before it has, and then forgets the
// link that it keeps as well: it removes peers from its set by their id (p2p/switch.go, stopAndRemovePeer), while that link lives on unlisted. One duplicate a
// peer is kept so at a time; more are closed at once.
func (h *Host) linger(l *link) {
	if l.shake.Acked() {
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
	case <-l.promoted:
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
	_ = l.session.Run(context.Background(), l) // returns at once: the session is closed; it waits for the session's goroutines
	h.drop(l, reason)
}
