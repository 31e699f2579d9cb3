package muxertest

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Factory makes two sessions that are connected to each other in memory, one with each set of channels. It is called
// within a testing/synctest bubble.
type Factory func(t testing.TB, a, b []muxer.Channel) (muxer.Session, muxer.Session)

// Traits are what a wire can do beyond what each one must.
type Traits struct {
	// CarriesCode says that the remote of a Close gets its code, and CarriesReason that it gets the reason too.
	CarriesCode, CarriesReason bool
	// AnswersAlways says that a session answers pings also while its handler waits and bytes of the link are left
	// unread.
	AnswersAlways bool
	// Streams says that the wire has byte streams: then a slow channel holds up no other one.
	Streams bool
	// StopsSending says that a remote which writes on a stream learns of CloseRead.
	StopsSending bool
}

// Suite is one run of the conformance tests.
type Suite struct {
	Traits  Traits
	Factory Factory
}

// end is one end of a connected pair: its session, which runs, and what it has received.
type end struct {
	muxer.Session
	inbox  Inbox
	cancel context.CancelFunc
	ended  chan struct{}
	err    error // what Run returned, once ended is closed
}

func (e *end) run(h muxer.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.ended = make(chan struct{})
	go func() {
		defer close(e.ended)
		e.err = e.Session.Run(ctx, h)
	}()
}

// wait returns what Run returns.
func (e *end) wait() error {
	<-e.ended
	return e.err
}

// with runs f in a bubble with a running pair that has the same channels at both ends. Leaked goroutines fail the test.
func (s Suite) with(t *testing.T, channels []muxer.Channel, f func(t *testing.T, a, b *end)) {
	t.Helper()
	s.withEach(t, channels, channels, f)
}

func (s Suite) withEach(t *testing.T, ca, cb []muxer.Channel, f func(t *testing.T, a, b *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sa, sb := s.Factory(t, ca, cb)
		a, b := &end{Session: sa}, &end{Session: sb}
		a.run(&a.inbox)
		b.run(&b.inbox)
		synctest.Wait() // both run
		f(t, a, b)
		for _, e := range []*end{a, b} {
			e.inbox.Resume()
			e.Close(muxer.CodeRequested, "the test is over")
		}
		for _, e := range []*end{a, b} {
			if err := e.wait(); err == nil {
				t.Error("Run returned nil")
			}
			e.cancel()
		}
	})
}

func fill(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}
