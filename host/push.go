package host

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// pushDelay lets changes that come together go out together.
	pushDelay = 100 * time.Millisecond
	// pushPause is between two attempts, and between two pushes after the first pushEarly of a link: remotes take only
	// so many (go-libp2p: 10, and then one in 5 s, from all of a /24 together). pushAttempts bounds those for one
	// change.
	pushPause    = 6 * time.Second
	pushEarly    = 3
	pushAttempts = 5
	pushTimeout  = 5 * time.Second
)

// pushState says what a link's remote has still to be told.
type pushState struct {
	mu   sync.Mutex
	due  bool
	busy bool // a goroutine is at it
	done int  // pushes that have succeeded
}

// protocolsChanged tells all peers whose wire can that what we say of ourselves is another now.
func (h *Host) protocolsChanged() {
	h.links.Range(func(_, v any) bool {
		v.(*link).pushSoon()
		return true
	})
}

// listen to what the remote says later, and tell it what has changed since its handshake began.
func (l *link) followChanges() {
	if l.shake.Changes != nil {
		l.shake.Changes(func(info handshake.NodeInfo) {
			l.remote.Store(&info)
			l.host.learn(l)
		})
	}
	began := l.made
	for _, s := range l.shake.Stages {
		began = began.Add(-s.Took)
	}
	if l.host.streams.changedSince(began) {
		l.pushSoon()
	}
}

// pushSoon makes a goroutine tell the remote, unless one is about to.
func (l *link) pushSoon() {
	if l.shake.Push == nil {
		return
	}
	p := &l.push
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = true
	if !p.busy {
		p.busy = l.host.spawn(l.pushLoop)
	}
}

func (l *link) pushLoop() {
	p, h := &l.push, l.host
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	unhook := context.AfterFunc(l.ctx, cancel)
	defer unhook()
	pause := pushDelay
	for failures := 0; ; {
		if !rest(ctx, pause) {
			return // the link has ended
		}
		p.mu.Lock()
		if !p.due {
			p.busy = false
			p.mu.Unlock()
			return
		}
		p.due = false
		p.mu.Unlock()
		attempt, done := context.WithTimeout(ctx, pushTimeout)
		err := l.shake.Push(attempt, h.infoAt(l.shake.LocalAddr))
		done()
		pause = pushPause
		switch {
		case err == nil:
			failures = 0
			p.mu.Lock()
			if p.done++; p.done < pushEarly {
				pause = pushDelay
			}
			p.mu.Unlock()
		case errors.Is(err, muxer.ErrUnknownProtocol):
		default:
			h.log.Debug("a push failed", slog.String("peer", string(l.peer)), slog.Any("error", err))
			if failures++; failures < pushAttempts {
				p.mu.Lock()
				p.due = true
				p.mu.Unlock()
			}
		}
	}
}
