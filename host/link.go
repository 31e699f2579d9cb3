package host

import (
	"context"
	"net/netip"
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
	remote  atomic.Pointer[handshake.NodeInfo] // the remote's latest node info
	ctx     context.Context                    // ends with the link
	over    context.CancelFunc
	ip      netip.Addr
	common  [4]uint64 // bitmap of the channels that both ends serve
	made    time.Time

	streams linkStreams
	push    pushState
	inboxes []*inbox // by Channel.index of the host's channels; entries are made at the first message

	excess atomic.Int64 // bytes beyond the budgets of its inboxes
	pauses pauses

	rtt   time.Duration // the latest that the pulse loop has seen; its own
	stale int           // pulses since then; the pulse loop's own

	counted   bool                      // its counters are in Host.totals, whose lock guards this
	accepted  atomic.Bool               // by the remote: see established
	connected atomic.Pointer[time.Time] // when it came up; nil: not yet

	mu        sync.Mutex
	reason    *DisconnectError // why we ended it; the first one counts
	graceWait *time.Timer
	dialDone  chan<- error // told once when the link is up or has ended; may be nil
}

func (l *link) serves(ch byte) bool { return l.common[ch>>6]&(1<<(ch&63)) != 0 }

func (h *Host) newLink(s *handshake.Link, ip netip.Addr) *link {
	l := &link{host: h, num: h.linkNum.Add(1), peer: s.ID(), session: s.Session, shake: s, ip: ip, made: time.Now(),
		inboxes: make([]*inbox, len(h.channels))}
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

// leaveInboxes releases the inboxes. What waits in them is still received.
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

// Established implements muxer.Handler: the remote has accepted the link.
func (l *link) Established() { l.established() }

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

// end closes the link for a reason of ours. Its session ends soon after. The first reason counts.
func (l *link) end(reason *DisconnectError) {
	l.mu.Lock()
	if l.reason == nil {
		l.reason = reason
	} else {
		reason = l.reason
	}
	l.mu.Unlock()
	_ = l.session.Close(reason.Code, reason.Reason)
}

// peerID returns the remote's node id as libp2p writes it.
func (l *link) peerID() string {
	if id := l.shake.Remote.PeerID; id != "" { // the wire has derived it from the proven key
		return id
	}
	return l.shake.RemoteKey.PeerID()
}

// ended returns why we ended the link; nil if we did not.
func (l *link) ended() *DisconnectError {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reason
}
