package signer

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

const where = "unix:///run/signer.sock"

// logged is a log and its lines.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// challenge is something to sign.
func challenge() []byte { return bytes.Repeat([]byte{7}, handshake.ChallengeSize) }

// sign asks for a signature of a challenge within a time.
func sign(t *testing.T, id *Identity, within time.Duration) (time.Duration, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	began := time.Now()
	sig, err := id.Sign(ctx, handshake.SignChallenge, challenge())
	if err == nil && !nodeKey.Public().Verify(challenge(), sig) {
		t.Error("a wrong signature passed")
	}
	if err != nil && sig != nil {
		t.Error("a signature beside an error")
	}
	return time.Since(began), err
}

func isAbsent(err error) bool {
	absent, ok := errors.AsType[*AbsentError](err)
	return ok && absent.Signer == where && strings.Contains(err.Error(), where)
}

// The errors are of three kinds, name the signer, and none is the end.
func TestErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, nodeKey)
		id := New(l, Config{Signer: where})
		ok := func() {
			t.Helper()
			if took, err := sign(t, id, time.Second); err != nil || took != 0 {
				t.Errorf("after %v: %v", took, err)
			}
		}
		ok()
		if key, err := id.PublicKey(t.Context()); err != nil || key != nodeKey.Public() {
			t.Error(key, err)
		}
		_, err := id.Sign(t.Context(), handshake.SignPubsub, []byte(handshake.PubsubPrefix+"hello"))
		refused, is := errors.AsType[*RefusedError](err)
		if !is || refused.Signer != where || refused.Purpose != handshake.SignPubsub || isAbsent(err) {
			t.Error(err)
		}
		if err := id.Allows(t.Context(), handshake.SignPubsub); !errors.As(err, &refused) {
			t.Error(err)
		}
		if err := id.Allows(t.Context(), handshake.SignChallenge); err != nil {
			t.Error(err)
		}
		ok()
		before := l.asked()
		if _, err := id.Sign(t.Context(), handshake.SignNoiseKey, challenge()); err == nil || l.asked() != before {
			t.Errorf("something without the form of its purpose went to the signer: %v", err)
		}

		l.set(func(l *line) { l.lies = true })
		_, err = sign(t, id, time.Second)
		if wrong, is := errors.AsType[*WrongSignatureError](err); !is || wrong.Signer != where ||
			!strings.Contains(err.Error(), where) {
			t.Error(err)
		}
		l.set(func(l *line) { l.lies = false })
		ok()

		l.set(func(l *line) { l.down = true })
		if took, err := sign(t, id, time.Second); !isAbsent(err) || took != time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		l.set(func(l *line) { l.down, l.hangs = false, 1 })
		if took, err := sign(t, id, time.Second); !isAbsent(err) || took != time.Second {
			t.Errorf("after %v: %v", took, err)
		}
		ok()

		// Another key in the signer.
		other := newLine(t, handshake.NewIdentity([32]byte{1}))
		l.set(func(l *line) { l.keeper = other.keeper })
		if _, err := sign(t, id, time.Second); err == nil {
			t.Error("another key's signature passed")
		}
		if s := id.Stats(); s.Signed != 4 || s.Refused != 1 || s.Wrong != 2 || s.Absent != 2 || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A signer that restarts costs a moment: those who wait are served when it is back.
func TestRestartOfTheSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, nodeKey)
		id := New(l, Config{Signer: where})
		if err := id.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.set(func(l *line) { l.down = true })
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				took, err := sign(t, id, 5*time.Second)
				if err != nil || took < time.Second || took > 1300*time.Millisecond {
					t.Errorf("after %v: %v", took, err)
				}
			})
		}
		time.Sleep(time.Second)
		l.set(func(l *line) { l.down = false })
		wg.Wait()

		// A call whose connection breaks is made again.
		l.set(func(l *line) { l.hangs = 1 })
		wg.Go(func() {
			took, err := sign(t, id, 5*time.Second)
			if err != nil || took < time.Second || took > 1300*time.Millisecond {
				t.Errorf("after %v: %v", took, err)
			}
		})
		time.Sleep(time.Second)
		l.set(func(l *line) {})
		wg.Wait()
	})
}

// A call that hangs delays no other.
func TestHungCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, nodeKey)
		id := New(l, Config{Signer: where})
		if err := id.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.set(func(l *line) { l.hangs = 50 })
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if took, err := sign(t, id, 5*time.Second); !isAbsent(err) || took != 5*time.Second {
					t.Errorf("after %v: %v", took, err)
				}
			})
		}
		synctest.Wait()
		for range 10 {
			if took, err := sign(t, id, 5*time.Second); err != nil || took != 0 {
				t.Errorf("beside 50 that hang, after %v: %v", took, err)
			}
			time.Sleep(400 * time.Millisecond)
		}
		wg.Wait()
		// Without a deadline of its own a call has ours.
		l.set(func(l *line) { l.hangs = 1 })
		began := time.Now()
		if _, err := id.Sign(context.Background(), handshake.SignChallenge, challenge()); !isAbsent(err) ||
			time.Since(began) != DefaultTimeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}

// A signer that is stuck ties up a few calls; the others fail at once, until it answers again.
func TestStuckSigner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLine(t, nodeKey)
		id := New(l, Config{Signer: where})
		if err := id.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, stuck := range []func(*line){func(l *line) { l.hangs = -1 }, func(l *line) { l.down = true }} {
			l.set(stuck)
			var wg sync.WaitGroup
			for range DefaultWaiting {
				wg.Go(func() {
					if took, err := sign(t, id, 5*time.Second); !isAbsent(err) || took != 5*time.Second {
						t.Errorf("after %v: %v", took, err)
					}
				})
			}
			time.Sleep(stalledAfter)
			for range 100 {
				if took, err := sign(t, id, 5*time.Second); !isAbsent(err) || took != 0 {
					t.Errorf("one too many, after %v: %v", took, err)
				}
			}
			wg.Wait()
			l.set(func(l *line) { l.hangs, l.down = 0, false })
			if took, err := sign(t, id, 5*time.Second); err != nil || took != 0 {
				t.Errorf("after %v: %v", took, err)
			}
		}
		if s := id.Stats(); s.Crowded != 200 || s.Absent != 200+2*DefaultWaiting {
			t.Errorf("%+v", s)
		}
	})
}

// Wait waits for a signer that is late, and says so at growing intervals.
func TestLateSigner(t *testing.T) {
	for name, late := range map[string]func(*line){"down": func(l *line) { l.down = true },
		"hangs": func(l *line) { l.hangs = -1 }} {
		synctest.Test(t, func(t *testing.T) {
			var log logged
			l := newLine(t, nodeKey)
			l.set(late)
			id := New(l, Config{Signer: where, Logger: log.logger()})
			waited := make(chan error, 1)
			go func() { waited <- id.Wait(t.Context()) }()
			for _, at := range []struct {
				after time.Duration
				lines int
			}{{500 * time.Millisecond, 0}, {2 * time.Second, 1}, {20 * time.Second, 2}, {40 * time.Second, 3},
				{time.Hour, 12}} {
				time.Sleep(at.after)
				if n := log.count("waiting for the signer"); n < at.lines || n > at.lines+1 {
					t.Errorf("%s: %d lines, want %d", name, n, at.lines)
				}
			}
			if len(waited) > 0 {
				t.Fatalf("%s: it did not wait: %v", name, <-waited)
			}
			l.set(func(l *line) { l.down, l.hangs = false, 0 })
			began := time.Now()
			if err := <-waited; err != nil || time.Since(began) > longestPause {
				t.Errorf("%s: after %v: %v", name, time.Since(began), err)
			}
			if log.count("answers again") != 1 {
				t.Errorf("%s: the log is\n%s", name, log.text.String())
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			l.set(late)
			if err := New(l, Config{Signer: where}).Wait(ctx); !isAbsent(err) {
				t.Errorf("%s: given up: %v", name, err)
			}
		})
	}
}
