package mconn

import (
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// drain is how a session ends when another link of the peer takes over (muxer.CodeMoved): nothing more is queued, but
// what is queued is sent, and what the remote still sends is delivered. Each end says with an end mark, a packet that
// only Switchyard nodes know, that it sends nothing more, keep-alives included. The session ends once both marks have
// passed. So each end knows that it has everything: the mark is authenticated as all packets are, which the end of a
// TCP connection is not. Session.mu guards it.
type drain struct {
	asked  bool // by Close
	marked bool // our mark is the next thing to be sent, or is sent
	sent   bool // our mark
	heard  bool // the remote's, and all that came before it is delivered
	timer  *time.Timer
}

// drainTimeout bounds a drain. The remote's service may be slow to take what is on its way.
const drainTimeout = time.Minute

var (
	errEndInside = errors.New("the remote says that it has sent everything, inside a message")
	errBehindEnd = errors.New("a packet from a remote that said it had sent everything")
	errEnd       = errors.New("the remote says that it has sent everything, but the link does not move")
)

// startDrain begins the drain. The mutex is held.
func (s *Session) startDrain() {
	d := &s.drain
	if d.asked {
		return
	}
	d.asked = true
	s.queues.Close(muxer.ErrMoved)
	d.timer = time.AfterFunc(drainTimeout, func() {
		s.fail(&muxer.CloseError{Code: muxer.CodeTimeout,
			Reason: fmt.Sprintf("the link has moved, and its messages did not arrive within %v", drainTimeout)})
	})
	s.wake.Signal()
}

// writeEnd sends our mark.
func (s *Session) writeEnd() error {
	if _, err := s.conn.Write(endPacket); err != nil {
		return err
	}
	s.sentBytes.Add(uint64(len(endPacket)))
	return s.conn.Flush()
}

// endSent notes that our mark is sent.
func (s *Session) endSent() {
	s.mu.Lock()
	s.drain.sent = true
	both := s.drain.heard
	s.mu.Unlock()
	if both {
		s.fail(moved())
	}
}

// endHeard is called by the reader when the remote's mark has come. The handler may take its time to find out whether
// the link moves. A non-nil error ends the session.
func (s *Session) endHeard(h muxer.Handler) error {
	if s.read.batch != nil {
		if err := s.deliver(h); err != nil {
			return err
		}
	}
	s.alive.delivering.Store(s.now())
	err := h.Deliver(s.ctx, nil)
	s.alive.delivering.Store(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return s.err
	case err != nil:
		return err
	case !s.drain.asked:
		return protocolError(errEnd)
	}
	s.drain.heard = true
	if s.drain.sent {
		return moved()
	}
	return nil
}

// hungUp returns why a session ends whose remote has hung up behind its mark. It does that once it has our mark, which
// follows all else that we send.
func (s *Session) hungUp(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drain.marked {
		return moved()
	}
	return &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true,
		Reason: "the link has moved, and the remote hung up before all was sent", Err: err}
}

// moved is the clean end of a session that was drained.
func moved() error { return &muxer.CloseError{Code: muxer.CodeMoved, Err: muxer.ErrClosed} }
