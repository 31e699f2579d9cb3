package host

import (
	"bytes"
	"log/slog"
	"runtime/debug"
	"slices"

	"github.com/switchyard-p2p/switchyard/handshake"
)

// follower is a function of OnChange.
type follower struct {
	fn   func(PeerInfo)
	seen uint64 // the change that it was told last
}

// OnChange makes the host call fn each time the peer says that its protocols or addresses have changed (libp2p's
// identify push), at once, and when its link moves. PeerInfo has all that it says by then: two changes may be told by
// one call. If it has changed since it came up, there is a call for that, too; so a hook of OnPeer that takes Info and
// calls OnChange, in either order, misses nothing.
//
// Calls of fn, and of other functions of OnChange for the peering, follow one another. A slow fn holds up the next
// call, and Host.Run, but not the peer. No call begins after the end of the peering. A call that panics has returned;
// the stack is logged.
func (p *Peering) OnChange(fn func(PeerInfo)) {
	p.watch.Lock()
	p.followers = append(p.followers, &follower{fn: fn})
	p.watch.Unlock()
	p.tellSoon()
}

// remoteChanged takes over what the remote says of itself from now on.
func (l *link) remoteChanged(info *handshake.NodeInfo) {
	before := l.remote.Swap(info)
	l.learn()
	if p := l.peering.Load(); p != nil { // else the peering that is to come begins with info
		l.report(p, before, info)
		return
	}
	first := l.host.links.of(l.peer)
	if !info.Guest || first == nil || first == l {
		return
	}
	for { // the second link of a guest: services see the first one
		before := first.remote.Load()
		merged := *before
		merged.Listen, merged.Protocols, merged.SignedRecord = info.Listen, info.Protocols, info.SignedRecord
		if first.remote.CompareAndSwap(before, &merged) {
			if p := first.peering.Load(); p != nil {
				first.report(p, before, &merged)
			}
			return
		}
	}
}

// report tells of a change of a peer that is up, if it is one, with an event.
func (l *link) report(p *Peering, before, now *handshake.NodeInfo) {
	if p.noteChange(before, now) && p.announced.Load() { // else EventUp is to come
		l.host.emit(Event{Kind: EventChanged, ID: l.peer, Address: l.address, Inbound: p.inbound, Source: l.source})
	}
}

// noteChange tells the functions of OnChange of a change, and reports whether it is one.
func (p *Peering) noteChange(before, now *handshake.NodeInfo) bool {
	if slices.Equal(before.Protocols, now.Protocols) && slices.Equal(before.Listen, now.Listen) &&
		bytes.Equal(before.SignedRecord, now.SignedRecord) {
		return false
	}
	p.watch.Lock()
	p.changes++
	p.watch.Unlock()
	p.tellSoon()
	return true
}

// tellSoon starts a goroutine that tells of changes, if there is something to tell and none runs.
func (p *Peering) tellSoon() {
	p.watch.Lock()
	defer p.watch.Unlock()
	if !p.telling && p.behind() != nil {
		p.telling = p.host.tasks.spawn(p.tellChanges)
	}
}

// behind returns a function that was not told of the last change; nil for none. watch is held.
func (p *Peering) behind() *follower {
	for _, f := range p.followers {
		if f.seen < p.changes {
			return f
		}
	}
	return nil
}

func (p *Peering) tellChanges() {
	for {
		p.watch.Lock()
		f := p.behind()
		if f == nil || p.end.Load() != nil {
			p.telling = false
			p.watch.Unlock()
			return
		}
		f.seen = p.changes
		p.watch.Unlock()
		p.tell(f)
	}
}

// tell calls one function.
func (p *Peering) tell(f *follower) {
	defer func() {
		if r := recover(); r != nil {
			p.host.log.Error("a function of OnChange panicked", slog.String("peer", string(p.id)),
				slog.Any("panic", r), slog.String("stack", string(debug.Stack())))
		}
	}()
	f.fn(p.Info())
}
