package host

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A move puts a peering on another link, without a gap: from comet to QUIC, between Switchyard nodes that have told
// each other in the node info that they can. The peer manager decides when to dial (peers.Dial.Replaces), and both ends
// agree on the new link as on any other. Then each end, for itself,
//
//  1. makes the new link the one that services use, so what they send goes there,
//  2. drains the old one (muxer.CodeMoved): what is queued there is still sent, up to an end mark,
//  3. holds back what comes on the new link until all has been delivered that the remote sent on the old one.
//
// So messages stay in order, none is lost, and subscribers notice nothing. If the old link breaks before all of it was
// delivered, something is lost: then the new link ends, too, and the peer is down.

// ToQUIC is a Config.MoveTo: links move to QUIC.
func ToQUIC(a transport.Address) bool {
	_, err := a.Multiaddr().ValueForProtocol(ma.P_QUIC_V1)
	return err == nil
}

// maxMoveTo bounds the addresses that a move dials.
const maxMoveTo = 2

// move is a move, as both links know it.
type move struct {
	from, to *link
	decided  chan struct{} // closed when it is known whether the new link takes over
	taken    bool          // it does; set before
	drained  chan struct{} // closed when all that the remote sent on the old link has been delivered
}

// moves counts moves by what came of them. Those that lost their messages count as moved, too.
type moves struct{ moved, failed, lost atomic.Uint64 }

// moveTo returns the addresses to which the link may move.
func (l *link) moveTo() (out []transport.Address) {
	h, remote := l.host, &l.shake.Remote
	if h.cfg.MoveTo == nil || !remote.Moves || l.shake.Binding == [len(l.shake.Binding)]byte{} ||
		!slices.Contains(remote.Wires, transport.WireLibp2p) {
		return nil
	}
	for _, text := range slices.Concat(remote.Also, remote.Listen) {
		where, ok := l.claimed(text)
		if !ok {
			continue
		}
		a, err := where.WithNode(l.peerID())
		if err == nil && h.cfg.MoveTo(a) && h.CheckAddress(a) == nil && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	slices.SortStableFunc(out, func(a, b transport.Address) int { return l.distance(a) - l.distance(b) })
	return out[:min(len(out), maxMoveTo)]
}

// distance is 0 for an address at the IP of the link, and 1 for others.
func (l *link) distance(a transport.Address) int {
	if ip, _ := a.IP(); ip.Unmap() == l.ip.Unmap() {
		return 0
	}
	return 1
}

// plan completes an arrival with what it has to do with moves: where a comet link may move, and which link this one
// replaces.
func (l *link) plan(a *peers.Arrival) {
	from := l.replaces
	if l.shake.Confirm == nil {
		a.MoveTo = l.moveTo()
		return
	}
	binding := l.shake.Remote.Replaces
	if from == nil && len(binding) == 0 {
		return
	}
	a.Replaces = peers.NoLink
	if from == nil && l.inbound && l.host.cfg.MoveTo != nil {
		for _, v := range l.host.links.all.Range {
			o := v.(*link)
			if o.peer == l.peer && o.shake.Confirm == nil && bytes.Equal(o.shake.Binding[:], binding) {
				from = o
			}
		}
	}
	m := &move{to: l, decided: make(chan struct{}), drained: make(chan struct{})}
	l.move.Store(m)
	if from != nil && from.peer == l.peer && slices.Equal(from.channels, l.channels) {
		a.Replaces, m.from = from.num, from
	}
}

// decide says whether the new link takes over. The first call counts; linkTable.change is held.
func (m *move) decide(taken bool) {
	select {
	case <-m.decided:
	default:
		m.taken = taken
		close(m.decided)
	}
}

// moved reports whether the link is the old one of a move that has taken place.
func (l *link) moved() bool {
	m := l.move.Load()
	if m == nil || m.from != l {
		return false
	}
	select {
	case <-m.decided:
		return m.taken
	default:
		return false
	}
}

// lastDelivered is called when the remote has sent all that it sends on a link that moves, and it has been delivered.
// It waits until we know, too, that the link moves.
func (l *link) lastDelivered(ctx context.Context) error {
	m := l.move.Load()
	if m == nil || m.from != l {
		return &DisconnectError{Code: muxer.CodeProtocolError, Reason: "the remote moves a link that we do not"}
	}
	select {
	case <-m.decided:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !m.taken {
		return &DisconnectError{Code: muxer.CodeRemoteClosed, Remote: true,
			Reason: "the remote has moved to a link that did not come up"}
	}
	close(m.drained)
	return nil
}

// awaitDrain waits, on the new link of a move, until what the remote sent on the old one has been delivered.
func (l *link) awaitDrain(ctx context.Context, m *move) error {
	if m.to != l {
		return nil
	}
	select {
	case <-m.drained:
		l.move.CompareAndSwap(m, nil)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// takeOver makes the new link of a move the one that services use. It reports whether it has. linkTable.change is held.
func (l *link) takeOver(m *move) bool {
	p := m.from.peering.Load()
	l.peering.Store(p)
	l.host.links.up.Store(l.peer, l)
	p.link.Store(l)
	if !l.host.peers.Ready(l.peer, l.num, p.number, l.channels) { // it is about to end, as the old one is
		l.host.links.up.Store(l.peer, m.from)
		p.link.Store(m.from)
		l.peering.Store(nil)
		m.from.end(&DisconnectError{Code: muxer.CodeRequested, Reason: "the links to the peer end"})
		return false
	}
	m.from.end(&DisconnectError{Code: muxer.CodeMoved, Reason: "another link has taken over"})
	m.decide(true)
	l.host.moves.moved.Add(1)
	return true
}

// endMove ends the other link of a move with this one, where it cannot go on alone. err is why the session ended.
func (l *link) endMove(m *move, reason *DisconnectError, err error) {
	h := l.host
	h.links.change.Lock()
	m.decide(false)
	h.links.change.Unlock()
	if l == m.to {
		if m.taken {
			m.from.end(reason)
		}
		return
	}
	if ce, ok := errors.AsType[*muxer.CloseError](err); m.taken && ok && ce.Code == muxer.CodeMoved {
		return
	}
	if m.taken {
		h.moves.lost.Add(1)
	}
	m.to.end(&DisconnectError{Code: reason.Code, Remote: reason.Remote,
		Reason: "the link that it replaces has ended before all its messages had arrived"})
}

// move dials a link that replaces another one.
func (r *router) move(ctx context.Context, d peers.Dial) {
	h, began := r.host, time.Now()
	from := h.links.numbered(d.Replaces)
	if from == nil {
		h.peers.DialFailed(d.ID, nil)
		h.joins.wake(d.ID)
		return
	}
	l, failures := r.race(handshake.WithReplaces(ctx, from.shake.Binding), d)
	if l != nil {
		l.replaces = from
		l.handOver(ctx)
		return
	}
	h.peers.DialFailed(d.ID, failures)
	h.joins.wake(d.ID)
	h.moves.failed.Add(1)
	for _, f := range failures {
		h.emit(Event{Kind: EventMoveFailed, ID: d.ID, Address: f.Address.String(), Stage: stageOf(f.Err),
			Reason: asReason(f.Err), Duration: time.Since(began), Stages: stagesOf(f.Err),
			Source: sourceOf(&d, f.Address)})
	}
}

// moved tells of a link that has moved, and moveFailed of one that has not, once a peer: the node tries again, and the
// old link works.
func (r *reporter) moved(e *Event) {
	delete(r.unmoved, e.ID)
	to := e.Address
	if l := r.host.links.of(e.ID); l != nil {
		to = l.shake.Transport
	}
	r.link("moved to "+to, e)
}

func (r *reporter) moveFailed(e *Event) {
	if r.unmoved[e.ID] || len(r.unmoved) >= maxCauses {
		return
	}
	r.unmoved[e.ID] = true
	r.log.Info("a link cannot move, trying again now and then", slog.String("peer", string(e.ID)),
		slog.String("address", e.Address), slog.Any("reason", e.Reason))
}
