package libp2p

import (
	"context"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Limits of the pushes that we read of one link: so many at once, and one in an interval after that. A node pushes when
// its addresses or protocols change; more than that is a flood, which costs its sender a reset stream each.
const (
	pushBurst    = 8
	pushInterval = 5 * time.Second
)

// changes is what a remote says of itself, as its pushes change it.
type changes struct {
	mu                sync.Mutex          // guards what follows
	remote            *handshake.NodeInfo // from the handshake; nobody changes it
	listen, protocols []string            // what pushes say in place of that
	signed            []byte              // the same, of the signed peer record
	seq               uint64              // of the latest signed record, from the handshake or a push
	news              bool
	told              func(handshake.NodeInfo)
	spent             int       // pushes that count against the burst
	since             time.Time // until when they were paid back

	telling sync.Mutex // one call at a time
}

// allow says whether one more push may be read now.
func (c *changes) allow(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if back := int(now.Sub(c.since) / pushInterval); back >= c.spent {
		c.spent, c.since = 0, now
	} else if back > 0 {
		c.spent -= back
		c.since = c.since.Add(time.Duration(back) * pushInterval)
	}
	if c.spent >= pushBurst {
		return false
	}
	c.spent++
	return true
}

// merge takes over what a push says; what it leaves out stays, and so does a signed record that is newer. The mutex is
// held.
func (c *changes) merge(info *handshake.NodeInfo, seq uint64) {
	if len(info.Listen) > 0 {
		c.listen = info.Listen
	}
	if len(info.Protocols) > 0 {
		c.protocols = info.Protocols
	}
	if info.SignedRecord != nil && seq >= c.seq {
		c.signed, c.seq = info.SignedRecord, seq
	}
	c.news = true
}

// began takes over the number of the signed record of the handshake. Pushes may have come before.
func (c *changes) began(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seq > c.seq {
		c.signed, c.seq = nil, seq
	}
}

// tell implements handshake.Link.Changes. Pushes may have come before.
func (c *changes) tell(remote *handshake.NodeInfo, f func(handshake.NodeInfo)) {
	c.mu.Lock()
	c.remote, c.told = remote, f
	c.mu.Unlock()
	c.pass()
}

// pass tells what is new, if somebody wants to know.
func (c *changes) pass() {
	c.telling.Lock()
	defer c.telling.Unlock()
	c.mu.Lock()
	f := c.told
	due := c.news && f != nil
	var remote handshake.NodeInfo
	if due {
		c.news = false
		remote = *c.remote
		if c.listen != nil {
			remote.Listen = c.listen
		}
		if c.protocols != nil {
			remote.Protocols = c.protocols
		}
		if c.signed != nil {
			remote.SignedRecord = c.signed
		}
	}
	c.mu.Unlock()
	if due {
		f(remote)
	}
}

// servePush reads what has changed at the remote, within the bounds of identify.
func (s *server) servePush(st muxer.Stream) {
	if !s.changes.allow(time.Now()) {
		_ = st.Reset(muxer.CodeTooManyStarts)
		return
	}
	_ = st.SetDeadline(time.Now().Add(serveTimeout))
	var m message
	_, err := readMessages(st, &m)
	var info *handshake.NodeInfo
	if err == nil {
		info, err = m.nodeInfo(s.remote)
	}
	if err != nil {
		_ = st.Reset(muxer.CodeProtocolError)
		return
	}
	s.changes.mu.Lock()
	s.changes.merge(info, m.seq)
	s.changes.mu.Unlock()
	s.changes.pass()
}

// push implements handshake.Link.Push.
func (s *server) push(session muxer.Session) func(context.Context, handshake.NodeInfo) error {
	return func(ctx context.Context, local handshake.NodeInfo) error {
		s.self.local.Store(&local)
		st, err := session.OpenStream(ctx, protocolPush)
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { _ = st.Reset(muxer.CodeTimeout) })()
		_, err = st.Write(s.self.message())
		if err == nil {
			_, err = st.Read(nil) // until the remote has taken the protocol
		}
		if err != nil {
			_ = st.Reset(muxer.CodeUnknown)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		return st.Close()
	}
}
