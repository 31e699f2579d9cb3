package signer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// Defaults and bounds of an Identity.
const (
	DefaultTimeout = 5 * time.Second
	DefaultWaiting = 8

	firstWait    = time.Second           // before Wait tells the log
	stalledAfter = time.Second           // without an answer while calls wait
	firstPause   = 25 * time.Millisecond // before a call is made again whose connection broke
	longestPause = 250 * time.Millisecond
)

// Config has the settings of an Identity.
type Config struct {
	// Signer names the signer in errors and in the log: its address.
	Signer string
	// Timeout bounds a call whose context has no nearer deadline; 0 means 5 s.
	Timeout time.Duration
	// Waiting is how many calls may wait for a signer that has not answered for a second; further ones fail at once, so
	// that a signer that hangs does not tie up all handshakes. 0 means 8.
	Waiting int
	Logger  *slog.Logger // nil discards
}

// Identity signs with a key that is in another process. It verifies each signature. Its methods may be called
// concurrently; it owns no goroutine.
type Identity struct {
	remote Remote
	cfg    Config

	mu      sync.Mutex // guards what follows
	key     handshake.PublicKey
	waiting int       // calls that wait for an answer
	heard   time.Time // when the signer answered last, or the first of these calls began
	stats   Stats
	away    trouble // the signer does not answer
	unwell  trouble // it refuses, or signs wrongly
}

var _ handshake.Identity = (*Identity)(nil)

// Stats counts the calls of Sign by how they ended.
type Stats struct {
	Signed, Refused, Absent, Wrong uint64
	Crowded                        uint64 // failed at once: too many wait already (also counted as absent)
	Waiting                        int    // have not ended
}

// New makes an Identity. It asks the signer nothing yet: see Wait.
func New(remote Remote, cfg Config) *Identity {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Waiting <= 0 {
		cfg.Waiting = DefaultWaiting
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Identity{remote: remote, cfg: cfg}
}

// Wait waits until the signer has told its key, however long that takes, and says so in the log, at growing intervals.
// It fails only when ctx ends.
func (i *Identity) Wait(ctx context.Context) error {
	for timeout := min(i.cfg.Timeout, firstWait); ; timeout = i.cfg.Timeout {
		attempt, cancel := context.WithTimeout(ctx, timeout)
		_, err := i.PublicKey(attempt)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if sleep(ctx, jitter(longestPause)) != nil {
			return err
		}
	}
}

// PublicKey returns the key that the signer told first. Until it has, each call asks.
func (i *Identity) PublicKey(ctx context.Context) (handshake.PublicKey, error) {
	i.mu.Lock()
	key := i.key
	i.mu.Unlock()
	if !key.IsZero() {
		return key, nil
	}
	d, err := i.describe(ctx)
	if err != nil {
		return handshake.PublicKey{}, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.key.IsZero() {
		i.key = d.Key
	}
	return i.key, nil
}

// Allows returns nil if the signer signs for p, and a *RefusedError if it does not. It asks the signer: a service whose
// messages need signatures calls it at its start.
func (i *Identity) Allows(ctx context.Context, p handshake.Purpose) error {
	d, err := i.describe(ctx)
	if err == nil && !d.allows(p) {
		err = &RefusedError{i.cfg.Signer, p, "it was started without it"}
	}
	return err
}

func (i *Identity) describe(ctx context.Context) (d Description, err error) {
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	err = i.call(ctx, func() (err error) {
		d, err = i.remote.Describe(ctx)
		return err
	})
	if err == nil && (d.Key.IsZero() || d.Key.Type != handshake.Ed25519) {
		err = &AbsentError{Signer: i.cfg.Signer, Why: "it told a key that is not ed25519"}
	}
	i.ended(0, err)
	return d, err
}

// Sign implements handshake.Identity. While the signer is away it waits until ctx ends, at most Config.Timeout. Errors
// are *AbsentError, *RefusedError, *WrongSignatureError, or what p.Check returned.
func (i *Identity) Sign(ctx context.Context, p handshake.Purpose, msg []byte) ([]byte, error) {
	body, err := p.Body(msg)
	if err != nil {
		return nil, err
	}
	key, err := i.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	if err := i.enter(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, i.cfg.Timeout)
	defer cancel()
	var sig []byte
	err = i.call(ctx, func() (err error) {
		sig, err = i.remote.Sign(ctx, Request{Purpose: p, Body: body})
		return err
	})
	if err == nil && !key.Verify(msg, sig) {
		err = &WrongSignatureError{i.cfg.Signer, p, key}
	}
	var refused *RefusedError
	if errors.As(err, &refused) {
		refused.Signer, refused.Purpose = i.cfg.Signer, p
	}
	i.leave(err)
	i.ended(p, err)
	if err != nil {
		return nil, err
	}
	return sig, nil
}

// call makes a call of the remote, again whenever it failed for want of a connection and there is another.
func (i *Identity) call(ctx context.Context, once func() error) error {
	began := time.Now()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := once()
		absent, ok := errors.AsType[*AbsentError](err)
		if !ok {
			return err
		}
		if sleep(ctx, jitter(pause)) != nil || i.remote.Ready(ctx) != nil {
			why := fmt.Sprintf("no answer within %v", time.Since(began).Round(time.Millisecond))
			if absent.Why != "" {
				why += ": " + absent.Why
			}
			return &AbsentError{i.cfg.Signer, why, absent.Err}
		}
	}
}

// enter counts a call in, unless too many wait for a signer that does not answer.
func (i *Identity) enter() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	if i.waiting == 0 {
		i.heard = now
	}
	if i.waiting >= i.cfg.Waiting && now.Sub(i.heard) >= stalledAfter {
		i.stats.Crowded++
		i.stats.Absent++
		return &AbsentError{Signer: i.cfg.Signer,
			Why: fmt.Sprintf("no answer for %v, and %d calls wait already", now.Sub(i.heard).Round(time.Second),
				i.waiting)}
	}
	i.waiting++
	return nil
}

// leave counts a call out.
func (i *Identity) leave(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting--
	switch err.(type) {
	case nil:
		i.stats.Signed++
	case *WrongSignatureError:
		i.stats.Wrong++
	case *AbsentError:
		i.stats.Absent++
		return // nothing was heard
	default:
		i.stats.Refused++
	}
	i.heard = time.Now()
}

// Stats returns the counters.
func (i *Identity) Stats() Stats {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.stats
	s.Waiting = i.waiting
	return s
}

// ended tells the log how a call ended, where that is news.
func (i *Identity) ended(p handshake.Purpose, err error) {
	i.mu.Lock()
	now := time.Now()
	absent, isAbsent := errors.AsType[*AbsentError](err)
	var news []func()
	log := i.cfg.Logger.With(slog.String("signer", i.cfg.Signer))
	if isAbsent {
		if since, failed, ok := i.away.failed(now); ok {
			news = append(news, func() {
				log.Warn("waiting for the signer", slog.String("error", absent.Error()),
					slog.Duration("since", since), slog.Int("calls", failed))
			})
		}
	} else if since, ok := i.away.over(now); ok {
		news = append(news, func() { log.Info("the signer answers again", slog.Duration("after", since)) })
	}
	switch {
	case isAbsent:
	case err != nil:
		if since, failed, ok := i.unwell.failed(now); ok {
			news = append(news, func() {
				log.Error("the signer did not sign", slog.String("error", err.Error()),
					slog.Duration("since", since), slog.Int("calls", failed))
			})
		}
	case p != 0:
		i.unwell.over(now)
	}
	i.mu.Unlock()
	for _, say := range news {
		say()
	}
}

// sleep waits for d. It returns why ctx ended if it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// jitter returns something from half of d up to d.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d/2) }
