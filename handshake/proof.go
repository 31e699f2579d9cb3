package handshake

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Bounds of a Proof.
const (
	// ProofGrace is how much longer than Proof.Fresh a proof is shown while the identity cannot sign another.
	ProofGrace = 24 * time.Hour

	proofAttempt  = 10 * time.Second // within which Keep wants a new proof, before it tries again
	proofPause    = time.Second      // before it does so, doubled each time
	maxProofPause = time.Minute
)

// Proof is what a Security shows of an identity, over and over: a static key or a certificate, with the identity's
// signature of it. It holds one value, for the identity that asked last. Its methods may be called concurrently;
// callers that need a value that is not there wait for one signature together.
type Proof[T any] struct {
	// Make makes a value that id has signed, whose public key is node.
	Make func(ctx context.Context, id Identity, node PublicKey) (T, error)
	// Fresh is the age at which a value is made anew.
	Fresh time.Duration

	mu     sync.Mutex // guards what follows
	last   *proven[T]
	making *making // nil while none is being made
	kept   int     // calls of Keep that run
}

// proven is a value of a Proof. It never changes.
type proven[T any] struct {
	node  PublicKey
	value T
	made  time.Time
}

// making is a value that is being made.
type making struct {
	node PublicKey
	done chan struct{} // closed when what follows is set
	err  error
	quit bool // its maker's context ended, so err says nothing about the identity
}

// Get returns the present value for id. It makes one if there is none, or if the last is too old: while Keep runs,
// older than Fresh and ProofGrace, else than Fresh. If one is being made, it waits for that. Its errors are
// *IdentityError.
func (p *Proof[T]) Get(ctx context.Context, id Identity) (value T, err error) {
	node, err := id.PublicKey(ctx)
	if err != nil {
		return value, &IdentityError{fmt.Errorf("our public key: %w", err)}
	}
	for { // all in one function: it is part of every handshake
		now := time.Now()
		p.mu.Lock()
		life := p.Fresh
		if p.kept > 0 {
			life += ProofGrace
		}
		if last := p.last; last != nil && last.node == node && now.Sub(last.made) < life {
			p.mu.Unlock()
			return last.value, nil
		}
		m := p.making
		if m == nil || m.node != node {
			m = &making{node: node, done: make(chan struct{}), quit: true}
			p.making = m
			p.mu.Unlock()
			defer func() { // also if Make panics
				p.mu.Lock()
				if p.making == m {
					p.making = nil
				}
				if !m.quit && err == nil {
					p.last = &proven[T]{node, value, now}
				}
				p.mu.Unlock()
				close(m.done)
			}()
			if value, err = p.Make(ctx, id, node); err != nil {
				err = &IdentityError{err}
			}
			m.err, m.quit = err, err != nil && ctx.Err() != nil
			return value, err
		}
		p.mu.Unlock()
		select {
		case <-m.done:
			if m.err != nil && !m.quit {
				return value, m.err
			}
		case <-ctx.Done():
			return value, &IdentityError{fmt.Errorf("wait for a signature: %w", context.Cause(ctx))}
		}
	}
}

// Keep makes a value for id, and another whenever the last is no longer fresh, until ctx ends. While id cannot sign, it
// tries again and the last value stays in use.
func (p *Proof[T]) Keep(ctx context.Context, id Identity) {
	p.mu.Lock()
	p.kept++
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.kept--
		p.mu.Unlock()
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := proofPause; ; {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		attempt, cancel := context.WithTimeout(ctx, proofAttempt)
		next, err := p.freshen(attempt, id)
		cancel()
		if err != nil {
			next = pause/2 + rand.N(pause/2)
			pause = min(2*pause, maxProofPause)
		} else {
			pause = proofPause
		}
		timer.Reset(next)
	}
}

// freshen makes the value for id anew if it is not fresh, and returns how long it stays fresh. Get does not wait for it
// while the last value is usable.
func (p *Proof[T]) freshen(ctx context.Context, id Identity) (time.Duration, error) {
	if _, err := p.Get(ctx, id); err != nil {
		return 0, err
	}
	p.mu.Lock()
	last := p.last
	p.mu.Unlock()
	if left := time.Until(last.made.Add(p.Fresh)); left > 0 {
		return left, nil
	}
	made := time.Now()
	value, err := p.Make(ctx, id, last.node)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.last = &proven[T]{last.node, value, made}
	p.mu.Unlock()
	return p.Fresh, nil
}
