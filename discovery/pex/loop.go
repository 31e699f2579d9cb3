package pex

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// node is discovery.Network without the subscription.
type node interface {
	Self() transport.NodeID
	SelfAddresses() []transport.Address
	Peers() []host.PeerInfo
	Advertise(to transport.NodeID, limit int) []transport.Address
	Report(id transport.NodeID, b host.Behaviour)
	Disconnect(id transport.NodeID, code muxer.Code, reason string)
	NeedsPeers() bool
}

// loop decides what to ask, answer and believe. One goroutine owns it, and nothing in it blocks.
type loop struct {
	node     node
	ch       lane
	log      *slog.Logger
	seed     bool
	findings chan<- finding
	peers    map[transport.NodeID]*peer // peers that are up and serve the channel
	gone     map[transport.NodeID]gonePeer
	early    []earlyMessage // of peers that the node has not reported as up
	quota    *quota
	request  []byte // an encoded request, shared
	jitter   func(time.Duration) time.Duration
}

// update handles a peer that came up or went down.
func (l *loop) update(u host.PeerUpdate, now time.Time) {
	if p := l.peers[u.ID]; p != nil {
		delete(l.peers, u.ID) // a peer that is up again is a new link, with nothing asked or answered
		l.remember(p, u, now)
	}
	if u.Status != host.PeerUp || !hasChannel(u.Channels) {
		return
	}
	p := &peer{id: u.ID, inbound: u.Inbound, since: now}
	for _, info := range l.node.Peers() {
		if info.ID == u.ID {
			p.place, p.trusted = placeOf(info), info.Trusted
			break
		}
	}
	// We chose the peers that we dialed, so we ask them at once. A peer that dialed us may be anyone: ask it when we
	// need peers.
	p.routine = now
	if u.Inbound && !l.seed {
		p.routine = now.Add(routineInterval/2 + l.jitter(routineInterval))
	}
	if g, ok := l.gone[u.ID]; ok {
		delete(l.gone, u.ID)
		p.late = g.late
		if g.lost {
			// It may count the requests of both links together, so its free ones are spent. Ask it even without need:
			// if the network was cut, it knows the other part.
			p.asks = 2
			p.schedule(now, l.jitter)
			p.routine = p.earliest
		}
	}
	l.peers[u.ID] = p
	waited := l.early
	l.early = nil
	for _, m := range waited {
		if m.From == u.ID {
			l.message(m.Envelope, now)
		} else {
			l.early = append(l.early, m)
		}
	}
}

func hasChannel(channels []byte) bool {
	for _, c := range channels {
		if c == ChannelID {
			return true
		}
	}
	return false
}

// finding is the addresses of one answer.
type finding struct {
	from      transport.NodeID
	addresses []transport.Address
}

// gonePeer is what we remember of a peer that has gone.
type gonePeer struct {
	place place
	late  time.Time // until then an answer of it may come: news of its end may overtake it, and a seed hangs up at once
	lost  bool      // its link broke: it may not have noticed. One that hangs up forgets what we asked
	until time.Time
}

// remember keeps what matters of a peer that has gone; if maxGone are kept already, another one is forgotten.
func (l *loop) remember(p *peer, u host.PeerUpdate, now time.Time) {
	g := gonePeer{place: p.place, late: p.late, until: now.Add(goneTime)}
	if p.open && !p.leaving {
		g.late = now.Add(lateTime)
	}
	if u.Reason != nil {
		switch u.Reason.Code {
		case muxer.CodeIdle, muxer.CodeTimeout, muxer.CodeTransport:
			g.lost = true
		}
	}
	for id := range l.gone {
		if len(l.gone) < maxGone {
			break
		}
		delete(l.gone, id)
	}
	l.gone[p.id] = g
}

// earlyMessage waits for the news that its sender is up. Messages and news arrive by separate ways, in either order.
type earlyMessage struct {
	host.Envelope
	until time.Time
}

// message handles one message of a peer.
func (l *loop) message(e host.Envelope, now time.Time) {
	p := l.peers[e.From]
	if p != nil && p.leaving {
		return
	}
	m, left, err := pexpb.Decode(e.Message, maxTaken)
	switch {
	case p == nil:
		if g := l.gone[e.From]; g.late.After(now) && err == nil && m.GetResponse() != nil {
			g.late = time.Time{}
			l.gone[e.From] = g
			l.take(e.From, g.place, m.GetResponse().GetAddresses(), left, now)
		} else if len(l.early) < maxEarly {
			l.early = append(l.early, earlyMessage{e, now.Add(earlyTime)})
		}
	case err != nil:
		l.misdeed(p, err.Error())
	case m.GetRequest() != nil:
		p.place.multiaddrs = p.place.multiaddrs || m.GetRequest().GetMultiaddrs()
		l.asked(p, now)
	default:
		l.answered(p, m.GetResponse().GetAddresses(), left, now)
	}
}

// asked answers a request, unless the peer has sent too many.
func (l *loop) asked(p *peer, now time.Time) {
	if !p.mayAsk(now) {
		l.misdeed(p, fmt.Sprintf("asks for addresses more often than every %v", requestInterval))
		return
	}
	// If its queue is full, it is not reading; it may ask again.
	l.ch.TrySend(p.id, pexpb.EncodeResponse(choose(l.node, p.id, p.place)))
	if l.seed && p.inbound && !p.trusted {
		p.done = now
	}
}

// answerVisitor returns the answer to a request of a newcomer that the node has no room for; nil if it is none.
func answerVisitor(n node, from host.PeerInfo, msg []byte) []byte {
	m, _, err := pexpb.Decode(msg, 0)
	if err != nil || m.GetRequest() == nil {
		return nil
	}
	where := placeOf(from)
	where.multiaddrs = where.multiaddrs || m.GetRequest().GetMultiaddrs()
	return pexpb.EncodeResponse(choose(n, from.ID, where))
}

// choose returns the addresses for a peer: our own, then those that the node advertises.
func choose(n node, to transport.NodeID, where place) []*pexpb.PexAddress {
	var out []*pexpb.PexAddress
	add := func(a transport.Address) {
		if len(out) >= maxAnswer || a.ID() == to {
			return
		}
		if w, ok := toWire(a, where); ok {
			out = append(out, w)
		}
	}
	for _, a := range n.SelfAddresses() {
		if !(where.away && a.IsLoopback()) {
			add(a)
		}
	}
	for _, a := range n.Advertise(to, 2*maxAnswer) { // some may not fit the peer's place
		add(a)
	}
	return out
}

// answered handles an answer of a peer that is up.
func (l *loop) answered(p *peer, addresses []*pexpb.PexAddress, left int, now time.Time) {
	switch {
	case p.late.After(now): // the answer to the request on its previous link comes first
		p.late = time.Time{}
	case p.open:
		p.open = false
		p.answeredAt = now
		p.schedule(now, l.jitter)
	default:
		l.misdeed(p, "sent unsolicited addresses")
		return
	}
	l.take(p.id, p.place, addresses, left, now)
}

// take passes the usable addresses of an answer to the node, within the sender's quota.
func (l *loop) take(from transport.NodeID, where place, addresses []*pexpb.PexAddress, left int, now time.Time) {
	batch, refused := filter(addresses, l.node.Self(), where)
	allowed := l.quota.take(from, len(batch), now)
	l.log.Debug("addresses", "peer", from.Short(), "sent", len(addresses)+left, "usable", len(batch), "taken", allowed)
	if len(addresses) > 0 && refused == len(addresses) {
		l.node.Report(from, host.Behaviour{Points: -1, Severity: host.Penalise,
			Reason: "pex: none of its addresses is usable"})
	}
	if batch = batch[:allowed]; len(batch) == 0 {
		return
	}
	select {
	case l.findings <- finding{from, batch}:
	default:
		l.log.Debug("addresses dropped: the node is busy with earlier ones", "peer", from.Short(), "count", len(batch))
	}
}

// misdeed reports what a peer did wrong. At first it only costs points, in case the peer's messages crossed a
// reconnection; a peer that goes on is disconnected.
func (l *loop) misdeed(p *peer, reason string) {
	p.strikes++
	b := host.Behaviour{Points: -10, Severity: host.Penalise, Reason: "pex: " + reason}
	if p.strikes >= maxStrikes {
		b.Severity = host.Disconnect
		p.leaving = true
	}
	l.node.Report(p.id, b)
}

// act does what is due and returns when to call it again.
func (l *loop) act(now time.Time) time.Time {
	next := now.Add(needCheck)
	maps.DeleteFunc(l.gone, func(_ transport.NodeID, g gonePeer) bool { return now.After(g.until) })
	l.early = slices.DeleteFunc(l.early, func(m earlyMessage) bool { return now.After(m.until) })
	need := l.node.NeedsPeers()
	for _, p := range l.peers {
		if p.leaving {
			continue
		}
		if at := p.nextAsk(need); !at.After(now) {
			l.ask(p, now)
		} else if at.Before(next) {
			next = at
		}
		if !l.seed {
			continue
		}
		if at := p.hangUpAt(); at.IsZero() {
			continue
		} else if !at.After(now) {
			l.hangUp(p)
		} else if at.Before(next) {
			next = at
		}
	}
	return next
}

// ask sends a request.
func (l *loop) ask(p *peer, now time.Time) {
	p.open = l.ch.TrySend(p.id, l.request)
	p.asks++
	p.schedule(now, l.jitter)
}

// hangUp ends a seed's link, but keeps a peer that the seed dialed while it needs peers.
func (l *loop) hangUp(p *peer) {
	if p.trusted || !p.inbound && l.node.NeedsPeers() {
		return
	}
	p.leaving = true
	l.node.Disconnect(p.id, muxer.CodeInquiryDone, "a seed only answers")
}

// placeOf returns where a peer is. An unknown place counts as private: the operator has chosen such a peer by name.
func placeOf(info host.PeerInfo) place {
	p := place{memory: info.Transport == "memory", multiaddrs: info.Transport == "memory" ||
		info.Wire == transport.WireLibp2p}
	if a, err := transport.ParseAddress(info.Address); err == nil {
		ip, ok := a.IP()
		p.away = ok && !a.IsLoopback()
		p.public = ok && isDialable(ip) && !a.IsPrivate() && !a.IsLoopback()
	}
	return p
}
