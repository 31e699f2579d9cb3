package host

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// link is one link to a peer: what the handshake made, and its place in the node. Its goroutine runs the session.
type link struct {
	host    *Host
	num     uint64 // the peer manager's id of the link
	peer    transport.NodeID
	session muxer.Session
	shake   *handshake.Link
	inbound bool
	address string                             // where we dialed it, or where it came from
	source  string                             // where we have that from, as in peerstore.Source; "" if it came in
	remote  atomic.Pointer[handshake.NodeInfo] // the remote's latest node info
	ctx     context.Context                    // ends with the link
	over    context.CancelFunc
	ip      netip.Addr
	made    time.Time

	streams  linkStreams
	push     pushState
	channels []byte // that both ends serve, in the order of Host.channels
	box      *mailbox
	meter    meter

	rtt     time.Duration // the latest that the pulse loop has seen; its own
	stale   int           // pulses since then; the pulse loop's own
	used    uint64        // messages and streams at the last pulse, of a guest's second link; the pulse loop's own
	checked bool          // used is set

	counted  bool                    // its counters are in Host.totals, whose lock guards this
	accepted atomic.Bool             // by the remote: see established
	peering  atomic.Pointer[Peering] // that it carries, or has carried; nil: it has not come up

	replaces *link                // that our dial is to replace; nil for none
	move     atomic.Pointer[move] // that it takes part in; nil for none

	mu        sync.Mutex
	reason    *DisconnectError // why we ended it; the first one counts
	graceWait *time.Timer
	dialDone  chan<- error // told once when the link is up or has ended; may be nil
}

func newLink(h *Host, s *handshake.Link, ip netip.Addr) *link {
	l := &link{host: h, num: h.links.last.Add(1), peer: s.Remote.ID, session: s.Session, shake: s, ip: ip,
		made: time.Now(), inbound: s.Side == muxer.Listener, box: h.memory.open(s.Remote.ID)}
	switch {
	case !s.Dialed.IsZero():
		l.address = s.Dialed.String()
	case s.RemoteAddr != nil:
		l.address = s.RemoteAddr.String()
	}
	l.remote.Store(&s.Remote)
	l.ctx, l.over = context.WithCancel(context.Background())
	for _, c := range h.descs {
		if slices.Contains(s.Remote.Channels, c.ID) {
			l.channels = append(l.channels, c.ID)
		}
	}
	return l
}

// end closes the link for a reason of ours, of which it tells the remote for up to a moment. Its session ends soon
// after. The first reason counts.
func (l *link) end(reason *DisconnectError) {
	l.mu.Lock()
	first := l.reason == nil || l.reason.Code == muxer.CodeMoved
	if first {
		l.reason = reason
	} else {
		reason = l.reason
	}
	l.mu.Unlock()
	if first && l.shake.Goodbye != nil && l.accepted.Load() && reason.Reason+reason.Limit != "" {
		l.shake.Goodbye(l.ctx, &handshake.Refusal{Code: reason.Code, Limit: reason.Limit, Reason: reason.Reason})
	}
	_ = l.session.Close(reason.Code, reason.Reason)
}

// waitEnd waits until the link has ended. It returns ctx's error.
func (l *link) waitEnd(ctx context.Context) error {
	select {
	case <-l.ctx.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// peerID returns the remote's node id as libp2p writes it.
func (l *link) peerID() string {
	if id := l.shake.Remote.PeerID; id != "" { // the wire has derived it from the proven key
		return id
	}
	return l.shake.RemoteKey.PeerID()
}

// linkTable holds the links of a host.
type linkTable struct {
	// change orders what the peer manager decides on links with what the host makes of it (up), so that both always
	// agree. It is held for moments, and taken before link.mu.
	change     sync.Mutex
	peerings   uint64                        // the latest one's number; change guards it, and what follows
	introduced map[transport.NodeID]*Peering // a goroutine calls the hooks; the value waits for its turn, or is nil
	turn       chan struct{}                 // closed when a link comes up; nil: nothing waits for that

	last      atomic.Uint64 // the latest link's number
	all       sync.Map      // link number -> *link: all that have passed their handshake
	up        sync.Map      // node id -> *link: those that services use
	lingering sync.Map      // node id -> struct{}: peers of which a duplicate is kept for a moment
}

// of returns the peer's link that services use; nil for none.
func (t *linkTable) of(id transport.NodeID) *link {
	v, _ := t.up.Load(id)
	l, _ := v.(*link)
	return l
}

// eachUp calls fn with every link that services use.
func (t *linkTable) eachUp(fn func(*link)) {
	t.up.Range(func(_, v any) bool {
		fn(v.(*link))
		return true
	})
}

// numbered returns a link that has not ended; nil for none.
func (t *linkTable) numbered(num uint64) *link {
	v, _ := t.all.Load(num)
	l, _ := v.(*link)
	return l
}
