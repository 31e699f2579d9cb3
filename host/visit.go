package host

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// A node whose inbound slots are taken lets a newcomer ask one question before it refuses it, or newcomers that know no
// other node would stay alone. Such a visit holds no slot and is no peer: no service but the channels with
// AnswerVisitors hears of it.
const (
	// maxVisits bounds the visits at once, and maxVisitsPerIP those from one IP.
	maxVisits      = 64
	maxVisitsPerIP = 16
	// visitTime is how long a visitor has to ask.
	visitTime = 20 * time.Second
	// visitLinger is how long the link stays after the answer. If it ended before the remote has read the answer, the
	// remote's next packet would be reset, and the reset would take the answer with it.
	visitLinger = 2 * time.Second
	// A node has maxAnswers visits in visitPause, as an answer may be lost, and is refused at once then. A node that
	// only lacks outbound links dials full nodes again and again, and has peers to ask. maxVisited bounds the nodes of
	// which that is remembered.
	visitPause = 5 * time.Minute
	maxAnswers = 3
	maxVisited = 1024
	// visitLimit is the limit that makes a newcomer a visitor.
	visitLimit = "peers.max_inbound"
)

// visits counts the visits at a host, and the host's own.
type visits struct {
	mu    sync.Mutex
	all   int
	perIP map[netip.Addr]int
	given map[transport.NodeID]answers // to nodes that were here

	turnedAway atomic.Int32 // how often we were, by the only node that we know
}

// answers counts what a node was told in a visitPause.
type answers struct {
	first time.Time
	n     int
}

// mayCome reports whether there is room for a visit; v.mu is held.
func (v *visits) mayCome(id transport.NodeID, ip netip.Addr) bool {
	if a := v.given[id]; a.n >= maxAnswers && time.Since(a.first) < visitPause {
		return false
	}
	return v.all < maxVisits && (v.perIP[ip] < maxVisitsPerIP || ip.Unmap().IsLoopback())
}

// take counts a visit in, if there is room.
func (v *visits) take(id transport.NodeID, ip netip.Addr) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.mayCome(id, ip) {
		return false
	}
	if v.perIP == nil {
		v.perIP, v.given = map[netip.Addr]int{}, map[transport.NodeID]answers{}
	}
	v.all++
	v.perIP[ip]++
	return true
}

// answered remembers a node that got its answer.
func (v *visits) answered(id transport.NodeID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, was := v.given[id]
	if time.Since(a.first) >= visitPause {
		a = answers{first: time.Now()}
	}
	if !was && len(v.given) >= maxVisited {
		maps.DeleteFunc(v.given, func(_ transport.NodeID, a answers) bool { return time.Since(a.first) >= visitPause })
	}
	if a.n++; was || len(v.given) < maxVisited {
		v.given[id] = a
	}
}

func (v *visits) give(ip netip.Addr) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all--
	if v.perIP[ip]--; v.perIP[ip] == 0 {
		delete(v.perIP, ip)
	}
}

// AnswerVisitors makes fn answer one message of every newcomer that finds all inbound slots taken, before the newcomer
// is refused. A nil answer is none. fn is called concurrently and must not block. A nil fn ends that.
func (c *Channel) AnswerVisitors(fn func(from PeerInfo, msg []byte) (answer []byte)) {
	if fn == nil {
		c.visited.Store(nil)
		return
	}
	c.visited.Store(&fn)
}

// answerVisitor asks for the answer to a visitor. A service that panics answers no visitors any more, with the stack
// logged.
func (c *Channel) answerVisitor(from PeerInfo, msg []byte) []byte {
	fn := c.visited.Load()
	if fn == nil {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			c.visited.Store(nil)
			c.host.log.Error("a service panicked; it answers no visitors any more",
				slog.String("channel", c.desc.Name), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	return (*fn)(from, msg)
}

// receivesVisits reports whether a newcomer that finds all inbound slots taken may ask something.
func (h *Host) receivesVisits(id transport.NodeID, ip netip.Addr) bool {
	if !slices.ContainsFunc(h.channels, func(c *Channel) bool { return c.visited.Load() != nil }) {
		return false
	}
	h.visits.mu.Lock()
	defer h.visits.mu.Unlock()
	return h.visits.mayCome(id, ip)
}

// visit is the handler of a visitor's session.
type visit struct {
	link     *link
	answered atomic.Bool
	done     chan struct{} // closed with the answer
}

// receive lets a newcomer whose link was refused ask a question, and then refuses it. It reports false at once if that
// is not the newcomer's right.
func (l *link) receive(ctx context.Context, refusal *DisconnectError) bool {
	h := l.host
	if !l.inbound || refusal.Limit != visitLimit || !h.receivesVisits(l.peer, l.ip) || !h.visits.take(l.peer, l.ip) {
		return false
	}
	defer h.visits.give(l.ip)
	_ = l.confirm(ctx, nil) // if that fails, the session ends at once
	v := &visit{link: l, done: make(chan struct{})}
	h.tasks.wg.Go(func() {
		defer l.end(refusal)
		ctx, cancel := context.WithTimeout(l.ctx, visitTime)
		defer cancel()
		select {
		case <-v.done:
			sleep(ctx, visitLinger)
		case <-ctx.Done():
		case <-h.tasks.stopped:
		}
	})
	_ = l.session.Run(ctx, v)
	l.learn() // now that it is free to be dialed; others hear of it, too
	l.drop(refusal)
	return true
}

// noteFull says, once, that the only node that we know has no room for us; at the second time, as it may name others
// when it refuses us.
func (h *Host) noteFull(id transport.NodeID, reason *DisconnectError) {
	full := reason.Code == muxer.CodeTooManyPeers && reason.Remote || reason.Code == muxer.CodeRemoteClosed
	if full && h.cfg.Store.Stats().Known <= 1 && h.visits.turnedAway.Add(1) == 2 {
		h.log.Warn("the only node that this one knows has no room for it", slog.String("peer", string(id)),
			slog.Any("reason", reason))
	}
}

// Established implements muxer.Handler.
func (v *visit) Established() {}

// Deliver implements muxer.Handler: it answers the first message for which a channel has an answer, and drops all
// others.
func (v *visit) Deliver(_ context.Context, msgs []muxer.Message) error {
	l := v.link
	for _, m := range msgs {
		c := l.host.byID[m.Channel]
		if c == nil || v.answered.Load() {
			continue
		}
		answer := c.answerVisitor(l.info(), m.Data)
		if answer != nil && v.answered.CompareAndSwap(false, true) {
			l.session.TrySend(m.Channel, answer)
			l.host.visits.answered(l.peer)
			close(v.done)
		}
	}
	return nil
}

// Serves implements muxer.Handler: ServeStream refuses streams with a code, not as an unknown protocol.
func (v *visit) Serves(string) bool { return true }

// ServeStream implements muxer.Handler.
func (v *visit) ServeStream(_ context.Context, s muxer.Stream) { _ = s.Reset(muxer.CodeTooManyPeers) }
