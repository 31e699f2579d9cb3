package muxer

import "io"

// lanesWatcher is what the connection sees of the session.
type lanesWatcher struct{ s *Lanes }

func (w lanesWatcher) Drained() {
	s := w.s
	s.mu.Lock()
	s.wake.Signal()
	s.wakeAtEnd()
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
	s.wakeReader()
	s.wake.Signal()
}
