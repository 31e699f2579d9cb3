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
	// pushDelay gathers changes into one push.
	pushDelay = 100 * time.Millisecond
	// pushPause is the time between two attempts, and between two pushes after the first pushEarly of a link: remotes
	// limit the rate (go-libp2p takes 10, and then one in 5 s, from all of a /24 together). pushAttempts bounds the
	// attempts for one change.
	pushPause    = 6 * time.Second
	pushEarly    = 3
	pushAttempts = 5
	pushTimeout  = 5 * time.Second
)

// pushState is what the remote of a link has yet to be told.
type pushState struct {
	mu   sync.Mutex
	due  bool
	busy bool // a goroutine is at it
	done int  // pushes that have succeeded
}

// protocolsChanged tells all peers whose wire can that our node info has changed, and makes a new signed record of it.
func (h *Host) protocolsChanged() {
	h.record.changed()
	tellChange(h)
}

// tellChange tells all peers whose wire can what we say of ourselves now.
func tellChange(h *Host) {
	if h.runCtx.Load() == nil {
		return // no handshake has begun yet
	}
	h.streams.mu.Lock()
	h.streams.changed = time.Now() // for links whose handshake goes on: see followChanges
	h.streams.mu.Unlock()
	h.links.all.Range(func(_, v any) bool {
		v.(*link).pushSoon()
		return true
	})
}

// followChanges listens for changes of the remote's node info, and tells the remote what of ours has changed since its
// handshake began.
func (l *link) followChanges() {
	if l.shake.Changes != nil {
		l.shake.Changes(func(info handshake.NodeInfo) { l.remoteChanged(&info) })
	}
	if l.host.streams.changedSince(l.shake.Began) {
		l.pushSoon()
	}
}

// pushSoon starts a goroutine that tells the remote, unless one runs.
func (l *link) pushSoon() {
	if l.shake.Push == nil {
		return
	}
	p := &l.push
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due = true
	if !p.busy {
		p.busy = l.host.tasks.spawn(l.pushLoop)
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
		if !sleep(ctx, pause) {
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
		err := l.shake.Push(attempt, h.infoFor(l.shake.LocalAddr, l.ip))
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
