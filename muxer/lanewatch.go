package muxer

import (
	"io"
	"time"
)

// lanesWatcher is what the connection sees of the session.
type lanesWatcher struct{ s *Lanes }

func (w lanesWatcher) Drained() {
	s := w.s
	s.mu.Lock()
	s.wake.Signal()
	if s.input != nil {
		s.news.Signal()
	}
	s.mu.Unlock()
}

func (w lanesWatcher) Ended(err error) { w.s.ended(err) }

// ended takes note that the remote sends no more.
func (s *Lanes) ended(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.input != nil {
		return
	}
	if err == nil {
		err = io.EOF
	}
	s.input = err
	s.endHearing()
	if !s.shutting { // a stream whose dialer never named a protocol must not hold up the end
		s.late = time.AfterFunc(s.cfg.CloseGrace, func() {
			s.mu.Lock()
			s.impatient = true
			s.news.Signal()
			s.mu.Unlock()
		})
	}
	s.news.Signal()
	s.wake.Signal()
}
