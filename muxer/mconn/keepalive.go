package mconn

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// keepalive watches a session's health from one timer, without a goroutine: it sends pings, ends a session whose remote
// is silent or takes nothing, and speaks for the reader while that waits in the handler. Times are on the session's
// clock; 0 means none.
type keepalive struct {
	timer *time.Timer // set by start, guarded by the session's mutex

	// Written by the reader and the writer, read by the timer.
	delivering atomic.Int64 // since when the handler has been in Deliver
	writing    atomic.Int64 // since when the connection has been taking a write

	// Guarded by the session's mutex.
	nextPing int64
	asking   bool   // nextPing only asks for a first sign of life
	deadline int64  // by when the remote must have answered our ping
	received uint64 // what had been received when deadline was set
	total    uint64 // what had been received at the last look
	heard    int64  // the last look that found more received than the one before
}

// listenerPatience is how long the listening end waits for the remote's first bytes before it asks for a sign of life.
// The dialing end asks at once, and that is its own sign of life: two questions would cost twice the packets. A
// CometBFT node says nothing by itself until its next ping.
const listenerPatience = 50 * time.Millisecond

// firstMeasure is how soon the round trip to a remote is measured that has given its sign of life unasked.
const firstMeasure = time.Second

// step is the longest time between two looks. A remote that hears from us every third of its timeout (we take it to
// have ours) stays calm even if one look comes late.
func (k *keepalive) step(s *Session) time.Duration {
	return min(s.cfg.PongTimeout/3, s.cfg.PingInterval, s.cfg.WriteTimeout)
}

func (k *keepalive) start(s *Session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.cfg.PingInterval
	if s.side == muxer.Dialer {
		s.requestPing()
	} else if listenerPatience < first {
		first, k.asking = listenerPatience, true
	}
	k.nextPing = s.now() + int64(first)
	k.timer = time.AfterFunc(min(first, k.step(s)), func() { k.look(s) })
}

func (k *keepalive) stop() { k.timer.Stop() }

// look does what is due, and comes again.
func (k *keepalive) look(s *Session) {
	now := s.now()
	step := int64(k.step(s))
	next := now + step

	since := k.delivering.Load()
	paused := since != 0 && now-since >= step

	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	if total := s.receivedBytes.Load(); total != k.total || since != 0 { // while we do not read we cannot hear
		k.total, k.heard = total, now
	}
	if began := k.writing.Load(); began != 0 {
		due := max(began+int64(s.cfg.WriteTimeout),
			k.heard+int64(max(s.cfg.WriteTimeout, s.cfg.PingInterval+k.step(s))))
		due = min(due, began+int64(s.cfg.StallTimeout))
		if now >= due {
			s.mu.Unlock()
			s.fail(&muxer.CloseError{Code: muxer.CodeTimeout,
				Reason: fmt.Sprintf("the remote took nothing for %v", time.Duration(now-began))})
			return
		}
		next = min(next, due)
	}
	if paused {
		// A ping may wait unread, so we answer unasked; and what the remote answers waits unread too.
		s.pong = true
		if k.deadline != 0 {
			k.deadline = now + int64(s.cfg.PongTimeout)
		}
	}
	if s.drain.asked { // the remote may answer no more
		k.deadline = 0
	}
	if k.deadline != 0 && now >= k.deadline {
		switch received := s.receivedBytes.Load(); {
		case since != 0 || received != k.received:
			// Not silent: its pong is behind other bytes, or we have not looked yet.
			k.deadline, k.received = now+int64(s.cfg.PongTimeout), received
		default:
			s.mu.Unlock()
			s.fail(&muxer.CloseError{Code: muxer.CodeIdle,
				Reason: fmt.Sprintf("silent for %v after a ping", s.cfg.PongTimeout), Err: muxer.ErrPongTimeout})
			return
		}
	}
	if now >= k.nextPing {
		wait := s.cfg.PingInterval
		if k.asking && s.receivedBytes.Load() > 0 {
			wait = min(wait, firstMeasure) // it has spoken; the round trip is to be measured soon
		} else {
			s.requestPing()
		}
		k.asking = false
		k.nextPing = now + int64(wait)
	}
	next = min(next, k.nextPing)
	if k.deadline != 0 {
		next = min(next, k.deadline)
	}
	if s.ping || s.pong {
		s.wake.Signal()
	}
	k.timer.Reset(time.Duration(max(next-s.now(), 1)))
	s.mu.Unlock()
}

// probe is one ping and those who wait for its pong.
type probe struct {
	sent int64
	done chan struct{} // closed when the pong has come, or the session has ended
	rtt  time.Duration
	err  error
}

func (p *probe) end(rtt time.Duration, err error) {
	p.rtt, p.err = rtt, err
	close(p.done)
}

// requestPing makes the writer send a ping, unless one is under way. The mutex is held.
func (s *Session) requestPing() {
	if s.probe != nil {
		return
	}
	s.probe = &probe{done: make(chan struct{})}
	s.ping = true
	s.wake.Signal()
}

// pinged notes that the writer is sending the ping. The mutex is held.
func (s *Session) pinged() {
	now := s.now()
	if s.probe != nil {
		s.probe.sent = now
	}
	s.alive.deadline = now + int64(s.cfg.PongTimeout)
	s.alive.received = s.receivedBytes.Load()
}

// heardKeepalives is called by the reader for the keep-alives of one chunk.
func (s *Session) heardKeepalives(ping, pong bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ping && !s.pong {
		s.pong = true
		s.wake.Signal()
	}
	if pong {
		s.alive.deadline = 0
		if p := s.probe; p != nil && p.sent != 0 {
			rtt := time.Duration(s.now() - p.sent)
			s.rtt.Store(int64(rtt))
			s.probe = nil
			p.end(rtt, nil)
		}
	}
}

// Ping implements muxer.Session. Calls while a ping is in flight share its answer.
func (s *Session) Ping(ctx context.Context) (time.Duration, error) {
	s.mu.Lock()
	if s.err != nil {
		defer s.mu.Unlock()
		return 0, s.err
	}
	s.requestPing()
	p := s.probe
	s.mu.Unlock()
	select {
	case <-p.done:
		return p.rtt, p.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
