package muxer

import (
	"context"
	"time"
)

// firstMeasure is how soon the round trip to a remote is measured of which no sign of life is asked.
const firstMeasure = time.Second

// firstPing asks the remote for a sign of life, if that is wanted; else it measures the round trip a little later, if the connection does not. Call done when the session
// has ended.
func (s *Lanes) firstPing(wanted bool) (done func()) {
	if wanted {
		s.wg.Go(func() {
			if _, err := s.Ping(s.life); err == nil {
				s.mu.Lock()
				s.alive = true
				s.wakeReader()
				s.mu.Unlock()
			}
		})
		return func() {}
	}
	if _, ok := s.streams.(Measurer); ok {
		return func() {}
	}
	s.wg.Add(1)
	later := time.AfterFunc(firstMeasure, func() {
		defer s.wg.Done()
		_, _ = s.Ping(s.life) // a remote that does not answer is found by the keep-alive
	})
	return func() {
		if later.Stop() {
			s.wg.Done()
		}
	}
}

// Ping implements Session.
func (s *Lanes) Ping(ctx context.Context) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	rtt, err := s.streams.Ping(ctx)
	if err == nil {
		s.rtt.Store(int64(rtt))
		return rtt, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return 0, err
}
