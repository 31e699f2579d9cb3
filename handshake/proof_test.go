package handshake

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// slowIdentity signs after a while, or fails, and counts.
type slowIdentity struct {
	*NodeKey
	mu    sync.Mutex
	takes time.Duration
	err   error
	signs int
}

func (s *slowIdentity) set(takes time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes, s.err = takes, err
}

func (s *slowIdentity) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signs
}

func (s *slowIdentity) Sign(ctx context.Context, p Purpose, msg []byte) ([]byte, error) {
	s.mu.Lock()
	s.signs++
	takes, err := s.takes, s.err
	s.mu.Unlock()
	timer := time.NewTimer(takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, err
	}
	return s.NodeKey.Sign(ctx, p, msg)
}

const testFresh = time.Hour

// testProof is a proof whose values are the times at which they were made.
func testProof() *Proof[time.Time] {
	return &Proof[time.Time]{Fresh: testFresh,
		Make: func(ctx context.Context, id Identity, _ PublicKey) (time.Time, error) {
			_, err := id.Sign(ctx, SignChallenge, make([]byte, ChallengeSize))
			return time.Now(), err
		}}
}

// All who wait for a value wait for one signature; a failure is that of all.
func TestProofIsSignedOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, p := &slowIdentity{NodeKey: ourKey, takes: time.Second}, testProof()
		broken := errors.New("broken")
		get := func(n int) (failed int) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			for range n {
				wg.Go(func() {
					if _, err := p.Get(t.Context(), id); err != nil {
						if !IsOwnFault(err) || !errors.Is(err, broken) {
							t.Error(err)
						}
						mu.Lock()
						failed++
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			return failed
		}
		id.set(time.Second, broken)
		if failed := get(100); failed != 100 || id.count() != 1 {
			t.Errorf("%d of 100 failed with %d signatures", failed, id.count())
		}
		id.set(time.Second, nil)
		began := time.Now()
		if failed := get(100); failed != 0 || id.count() != 2 || time.Since(began) != time.Second {
			t.Errorf("%d of 100 failed with %d signatures in %v", failed, id.count()-1, time.Since(began))
		}
	})
}

// Whoever asked for the signature may give up; another of those who wait asks then.
func TestProofOutlivesWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, p := &slowIdentity{NodeKey: ourKey, takes: 10 * time.Second}, testProof()
		var wg sync.WaitGroup
		for _, patience := range []time.Duration{time.Second, 2 * time.Second, time.Minute} {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := p.Get(ctx, id)
				if (err == nil) != (patience == time.Minute) ||
					err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("with %v: %v", patience, err)
				}
			})
			synctest.Wait() // the most impatient asks first
		}
		wg.Wait()
		if id.count() > 3 {
			t.Errorf("%d signatures", id.count())
		}
	})
}

// While Keep runs, nobody waits for a signature, also when the identity cannot sign for a day; later one has to.
func TestProofIsKeptFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id, p := &slowIdentity{NodeKey: ourKey, takes: time.Second}, testProof()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { p.Keep(ctx, id) })
		time.Sleep(2 * time.Second)
		get := func() time.Time {
			t.Helper()
			began := time.Now()
			v, err := p.Get(ctx, id)
			if err != nil || time.Since(began) != 0 {
				t.Fatalf("after %v: %v", time.Since(began), err)
			}
			return v
		}
		last := get()
		for range 100 {
			time.Sleep(testFresh / 4)
			if v := get(); time.Since(v) > testFresh+time.Second {
				t.Errorf("a value of %v", time.Since(v))
			} else {
				last = v
			}
		}
		if n := id.count(); n < 20 || n > 30 {
			t.Errorf("%d signatures in 25 hours", n)
		}

		before := id.count()
		id.set(0, errors.New("away"))
		for range 24 {
			time.Sleep(time.Hour)
			get()
		}
		if n := id.count() - before; n < 24*60/2 || n > 24*120+20 {
			t.Errorf("asked %d times in a day", n)
		}
		time.Sleep(time.Until(last.Add(testFresh+ProofGrace)) + testFresh)
		if _, err := p.Get(ctx, id); !IsOwnFault(err) {
			t.Errorf("a value that is too old: %v", err)
		}
		id.set(0, nil)
		time.Sleep(2 * maxProofPause)
		get()

		// Without Keep a value is made anew in time.
		cancel()
		wg.Wait()
		last, before = get(), id.count()
		time.Sleep(time.Until(last.Add(testFresh)) - time.Second)
		get()
		time.Sleep(time.Second)
		if v, err := p.Get(t.Context(), id); err != nil || v == last || id.count() != before+1 {
			t.Errorf("%v, %v, %d signatures", v, err, id.count()-before)
		}
	})
}

// A proof is of one node: another identity gets one of its own.
func TestProofIsOfOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &slowIdentity{NodeKey: ourKey, takes: time.Second}
		b := &slowIdentity{NodeKey: NewIdentity([SeedSize]byte{77}), takes: time.Second}
		p := testProof()
		var wg sync.WaitGroup
		for _, id := range []*slowIdentity{a, b} {
			wg.Go(func() {
				if _, err := p.Get(t.Context(), id); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if a.count() != 1 || b.count() != 1 {
			t.Errorf("%d and %d signatures", a.count(), b.count())
		}
	})
}

// A Make that panics leaves nobody waiting.
func TestProofSurvivesAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, first := testProof(), true
		make := p.Make
		p.Make = func(ctx context.Context, id Identity, node PublicKey) (time.Time, error) {
			if first {
				first = false
				time.Sleep(time.Second)
				panic("broken")
			}
			return make(ctx, id, node)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			defer func() { _ = recover() }()
			_, _ = p.Get(t.Context(), ourKey)
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := p.Get(t.Context(), ourKey); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	})
}
