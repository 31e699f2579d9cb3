package peers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// maxLooks bounds how many peers are looked at under the lock that turn out not to be dialable (banned, at a limit). They rest afterwards.
	maxLooks = 32
	// Peers that we were told of are forgotten after so many dials in a row that failed: sooner if none ever worked.
	maxFailuresUntried = 10
	maxFailuresTried   = 20
	triedExpiry        = 7 * 24 * time.Hour
)

// DialNext waits for a peer to dial, and reserves a slot for it. It wakes up for events (a new address, a dial that ended, a link that ended) and for the
// end of the next backoff, for which it holds one timer. Each Dial is to be answered by DialFailed or Dialed.
func (m *Manager) DialNext(ctx context.Context) (Dial, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Dial{}, err
		}
		now := time.Now()
		d, ok := m.tryDialNext(now)
		if ok {
			m.dialWake.wake() // there may be more, for another caller
			return d, nil
		}
		var timer *time.Timer
		var due <-chan time.Time
		if at, ok := m.nextDue(now); ok { // the same now: what becomes due between two would be missed
			timer = time.NewTimer(time.Until(at))
			due = timer.C
		}
		select {
		case <-m.dialWake:
		case <-due:
		case <-ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// nextDue is when something may be dialed that may not be now, if nothing else happens before.
func (m *Manager) nextDue(now time.Time) (time.Time, bool) {
	at, ok := m.store.NextDue(now)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, due := range []func(time.Time) (time.Time, bool){m.upgradeDue, m.feelerDue, m.churnDue} {
		if t, can := due(now); can && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	return at, ok
}

// TryDialNext is DialNext that does not wait.
func (m *Manager) TryDialNext() (Dial, bool) { return m.tryDialNext(time.Now()) }

func (m *Manager) tryDialNext(now time.Time) (Dial, bool) {
	var rejected rejects
	for {
		d, ok, again := m.lookForDial(now, &rejected)
		if !again {
			return d, ok
		}
	}
}

// rejects are peers that one search for a dial has looked at in vain.
type rejects map[transport.NodeID]bool

// reject leaves a peer out of the rest of a search; mu is held.
func (m *Manager) reject(id transport.NodeID, rejected *rejects) {
	if *rejected == nil { // as a rule the first look finds one
		*rejected = rejects{}
		m.rejected = *rejected
	}
	(*rejected)[id] = true
}

// lookForDial looks at the next few peers. again says that there are more to look at.
func (m *Manager) lookForDial(now time.Time, rejected *rejects) (d Dial, ok, again bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d, ok := m.dialAnchor(now); ok {
		return d, true, false
	}
	q := m.query(*rejected)
	q.Reserve = m.freeOutbound() > 0
	for range maxLooks {
		q.Room = m.room
		rec, found := m.store.Next(now, q)
		if found {
			m.room = rec.Addresses[:0]
		}
		if !found || !m.trusted[rec.ID] && m.freeOutbound() <= 0 {
			if m.freeOutbound() <= 0 {
				d, ok = m.dialBeyond(now)
			}
			return d, ok, false
		}
		s := slotTrusted
		if !m.trusted[rec.ID] {
			s = slotOutbound
		}
		if d, ok := m.dial(&rec, s, now); ok {
			return d, true, false
		}
		if rec.Busy {
			m.store.SetBusy(rec.ID, false)
		}
		m.reject(rec.ID, rejected)
	}
	return Dial{}, false, true
}

// isDue says that the peer as a whole may be dialed.
func isDue(rec *peerstore.Record, now time.Time) bool {
	return !rec.NotBefore.After(now) && !rec.Quarantined.After(now)
}

// dial reserves a slot for a peer that is neither linked nor being dialed, if it has an address that can be dialed now. If not, it rests for a while; mu is held.
func (m *Manager) dial(rec *peerstore.Record, s slot, now time.Time) (Dial, bool) {
	if rec.ID == m.self {
		m.store.Remove(rec.ID)
		return Dial{}, false
	}
	if _, banned := m.store.Banned(rec.ID, netip.Addr{}, now); banned {
		until := now.Add(m.pauseFor(rec, blockedPause, now))
		m.store.Update(rec.ID, func(rec *peerstore.Record) { rec.NotBefore = later(rec.NotBefore, until) })
		return Dial{}, false
	}
	if !isDue(rec, now) {
		return Dial{}, false
	}
	addrs, blocked, alien := m.dialable(rec, now)
	if len(blocked) > 0 {
		m.postpone(rec.ID, blocked, now.Add(m.pauseFor(rec, blockedPause, now)))
	}
	if len(alien) > 0 {
		m.postpone(rec.ID, alien, now.Add(m.cfg.MaxBackoff)) // others may be able to, so we keep them
	}
	if len(addrs) == 0 {
		return Dial{}, false
	}
	m.peer(rec.ID).busy = rec.Busy // the store may have marked it already: see peerstore.Query.Reserve
	m.startDial(rec.ID, dialState{slot: s, first: addrs[0]})
	return Dial{ID: rec.ID, Addresses: addrs, Upgrade: s == slotUpgrade, Feeler: s == slotFeeler}, true
}

// postpone lets addresses of a peer rest; mu is held.
func (m *Manager) postpone(id transport.NodeID, addrs []transport.Address, until time.Time) {
	m.store.Update(id, func(rec *peerstore.Record) {
		for _, addr := range addrs {
			if a := addressOf(rec, addr); a != nil {
				a.NotBefore = later(a.NotBefore, until)
			}
		}
	})
}

// dialable are a peer's addresses that are due, best first, those that are due but forbidden for now, and those that our stack cannot dial; mu is held.
func (m *Manager) dialable(rec *peerstore.Record, now time.Time) (addrs, blocked, alien []transport.Address) {
	exempt := m.exempt(rec.ID)
	var room [peerstore.DefaultMaxAddresses]*peerstore.AddressRecord // so that nothing is allocated, as a rule
	due := room[:0]
	for i := range rec.Addresses {
		a := &rec.Addresses[i]
		if a.NotBefore.After(now) {
			continue
		}
		if _, can := m.rank(a.Address); !can {
			alien = append(alien, a.Address)
			continue
		}
		ip, hasIP := a.Address.IP()
		banned := false
		if hasIP {
			_, banned = m.store.Banned("", ip, now)
		}
		if banned || m.isSelf(a.Address) || (hasIP && !exempt && m.checkIP(ip) != nil) {
			blocked = append(blocked, a.Address)
			continue
		}
		due = append(due, a)
	}
	if len(due) == 0 {
		return nil, blocked, alien
	}
	slices.SortStableFunc(due, func(a, b *peerstore.AddressRecord) int {
		worked := func(a *peerstore.AddressRecord) int {
			if a.LastSuccess.IsZero() {
				return 1
			}
			return 0
		}
		ra, _ := m.rank(a.Address)
		rb, _ := m.rank(b.Address)
		return cmp.Or(cmp.Compare(worked(a), worked(b)), cmp.Compare(a.Failures, b.Failures), cmp.Compare(ra, rb),
			b.LastSuccess.Compare(a.LastSuccess), b.LastHeard.Compare(a.LastHeard))
	})
	addrs = make([]transport.Address, len(due))
	for i, a := range due {
		addrs[i] = a.Address
	}
	return addrs, blocked, alien
}

// rank is Config.Rank.
func (m *Manager) rank(a transport.Address) (int, bool) {
	if m.cfg.Rank == nil {
		return 0, true
	}
	return m.cfg.Rank(a)
}

func addressOf(rec *peerstore.Record, addr transport.Address) *peerstore.AddressRecord {
	if addr.IsZero() {
		return nil
	}
	for i := range rec.Addresses {
		if rec.Addresses[i].Address == addr {
			return &rec.Addresses[i]
		}
	}
	return nil
}

// BeginDial reserves a dial that an operator asks for, whatever the slots and backoffs say. It is answered by DialFailed or Dialed, like one from
// DialNext. Errors: *DisconnectError for a banned peer, ourselves, or one that has a link or is being dialed.
func (m *Manager) BeginDial(addr transport.Address) error {
	id := addr.ID()
	now := time.Now()
	switch {
	case id == "":
		return &DisconnectError{Code: muxer.CodeWrongID, Reason: "the address names no node id"}
	case id == m.self:
		return &DisconnectError{Code: muxer.CodeSelf, Reason: "that is our own node id"}
	}
	ip, _ := addr.IP()
	if ban, ok := m.store.Banned(id, ip, now); ok {
		return &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store.Add(addr, peerstore.Source{Kind: "operator"}, now) // under mu, so that DialNext does not choose it before we have
	if p := m.peers[id]; p != nil {
		switch {
		case p.dial != nil:
			return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer is being dialed already"}
		case p.current != nil && p.current.evict == nil:
			return &DisconnectError{Code: muxer.CodeDuplicate, Reason: "the peer has a link already"}
		}
	}
	m.startDial(id, dialState{slot: slotTrusted, requested: true})
	return nil
}

// DialFailed says that none of a dial's addresses led to a link, and why. What follows depends on the reason: an address that does not answer backs off
// and so does its peer; a peer that has no place for us is no failure; one of another network is quarantined; an address that leads to ourselves is dropped
// and remembered. It does nothing for a peer that is not being dialed.
func (m *Manager) DialFailed(id transport.NodeID, failures []DialFailure) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.peers[id]
	if p == nil || p.dial == nil {
		return
	}
	d := m.endDial(p)
	if d.slot == slotUpgrade {
		m.unclaim(id)
	}
	linked := p.current != nil
	if d.slot == slotFeeler {
		m.felt(failures)
	}
	m.store.Update(p.id, func(rec *peerstore.Record) {
		m.recordFailures(rec, failures, linked, now)
		m.release(p, rec, now)
	})
	if m.tidy(p); p.idle() {
		m.spare = p
	}
	m.settleUpgrades()
	m.dialWake.wake()
}

// release ends an update of a peer whose dial or link has ended: in the same step the store learns that it is not busy any more. tidy follows; mu and the store's lock are held.
func (m *Manager) release(p *peerState, rec *peerstore.Record, now time.Time) {
	if p.idle() {
		rec.Busy, p.busy = false, false
		p.hopeless = m.hopeless(rec, now)
	}
}

// hopeless says that an idle peer is to be forgotten: one that we were told of and that keeps failing, or that has no address left; mu is held.
func (m *Manager) hopeless(rec *peerstore.Record, now time.Time) bool {
	if m.exempt(rec.ID) || m.private[rec.ID] {
		return false
	}
	well := rec.LastConnected
	for i := range rec.Addresses {
		well = later(well, rec.Addresses[i].LastSuccess)
	}
	failed := !m.isolated() && (rec.Failures >= maxFailuresUntried && well.IsZero() || rec.Failures >= maxFailuresTried && now.Sub(well) > triedExpiry)
	return failed || len(rec.Addresses) == 0 && scoreAt(rec, now) == 0 && !rec.Quarantined.After(now)
}

// recordFailures writes down what came of a dial; mu and the store's lock are held.
func (m *Manager) recordFailures(rec *peerstore.Record, failures []DialFailure, linked bool, now time.Time) {
	failed := false // an address did not work
	rest := m.cfg.MinBackoff
	for _, f := range failures {
		code, remote := codeOf(f.Err)
		a := addressOf(rec, f.Address)
		works := answered(f.Err)
		if a != nil {
			a.LastDialed = now
			a.LastError = f.Err.Error() // as far as the store keeps it
			if works {
				a.LastSuccess, a.Failures = now, 0
			}
		}
		switch {
		case code == muxer.CodeSelf:
			m.rememberSelf(f.Address)
			dropAddress(rec, f.Address)
		case code == muxer.CodeWrongNetwork, code == muxer.CodeIncompatible && !errors.Is(f.Err, transport.ErrNoTransport):
			m.quarantine(rec, cut(f.Err.Error(), maxLastError), now)
		case code == muxer.CodeWrongID && !rec.Trusted && a != nil && a.LastSuccess.IsZero(): // somebody else lives there: never a true address
			dropAddress(rec, f.Address)
			failed = true
		case remote && (code == muxer.CodeTooManyPeers || code == muxer.CodeTooManyStarts || code == muxer.CodeShuttingDown):
			rest = max(rest, gentlePause)
		case code == muxer.CodeDuplicate:
			rest = max(rest, shortPause)
		case !remote && (code == muxer.CodeShuttingDown || code == muxer.CodeRequested || code == muxer.CodeTooManyPeers || code == muxer.CodeTooManyStarts):
			// We broke it off ourselves: that says nothing about the peer.
		default:
			failed = true
			if a != nil && !works {
				pause := m.countFailure(&a.Failures, rec, now)
				if errors.Is(f.Err, transport.ErrNoTransport) {
					pause = m.cfg.MaxBackoff // it will not work before a restart
				}
				a.NotBefore = later(a.NotBefore, now.Add(pause))
			}
		}
	}
	switch {
	case linked: // it came to us meanwhile, so it is well
	case failed:
		rec.NotBefore = later(rec.NotBefore, now.Add(m.countFailure(&rec.Failures, rec, now)))
	default:
		rec.NotBefore = later(rec.NotBefore, now.Add(m.pauseFor(rec, rest, now)))
	}
}

// quarantine leaves a peer of another network alone; it is not advertised either. A trusted one is tried again soon: the operator named it.
func (m *Manager) quarantine(rec *peerstore.Record, reason string, now time.Time) {
	d := m.cfg.Quarantine
	if rec.Trusted {
		d = min(d, m.cfg.MaxTrustedBackoff)
	}
	rec.Quarantined, rec.QuarantineReason = later(rec.Quarantined, now.Add(d)), reason
}

// WrongNetwork says that a peer has proven its key and named another network. It is quarantined; an unknown one is ignored.
func (m *Manager) WrongNetwork(id transport.NodeID, network string) {
	now := time.Now()
	m.store.Update(id, func(rec *peerstore.Record) {
		m.quarantine(rec, cut(fmt.Sprintf("it is of network %.60q", network), maxLastError), now)
	})
}

// rememberSelf keeps an address that leads to ourselves, the latest maxSelves of them; mu is held.
func (m *Manager) rememberSelf(addr transport.Address) {
	if addr.IsZero() || m.isSelf(addr) {
		return
	}
	if len(m.selves) == maxSelves {
		m.selves = slices.Delete(m.selves, 0, 1)
	}
	m.selves = append(m.selves, addr)
}

func dropAddress(rec *peerstore.Record, addr transport.Address) {
	rec.Addresses = slices.DeleteFunc(rec.Addresses, func(a peerstore.AddressRecord) bool { return a.Address == addr })
}

// refusedDial lets a peer rest whose link we refused ourselves after dialing it; mu is held.
func (m *Manager) refusedDial(a Arrival, refusal *DisconnectError, now time.Time) {
	rest := gentlePause
	if refusal.Code == muxer.CodeDuplicate {
		rest = shortPause
	}
	m.store.Update(a.ID, func(rec *peerstore.Record) {
		rec.NotBefore = later(rec.NotBefore, now.Add(m.pauseFor(rec, rest, now)))
	})
}

// rest decides when a peer may be dialed again whose last link has ended; mu is held. Only a link that lived for StableAfter counts as a success.
func (m *Manager) rest(l *linkState, reason *DisconnectError, now time.Time) {
	id := l.peer.id
	stable := !l.ready.IsZero() && now.Sub(l.ready) >= m.cfg.StableAfter
	if l.guest {
		m.rememberGuest(id, now)
	}
	m.store.Update(id, func(rec *peerstore.Record) {
		defer m.release(l.peer, rec, now)
		rec.LastDisconnected = now
		addScore(rec, 0, now) // the store ranks by the plain number
		if stable {
			rec.Failures = 0
			if a := addressOf(rec, l.dialed); a != nil {
				a.Failures, a.NotBefore = 0, time.Time{}
			}
		}
		wait := m.pauseFor(rec, m.cfg.MinBackoff, now)
		switch reason.Code {
		case muxer.CodeWrongNetwork, muxer.CodeIncompatible:
			m.quarantine(rec, cut(reason.Error(), maxLastError), now)
		case muxer.CodeTooManyPeers, muxer.CodeTooManyStarts, muxer.CodeRequested:
			wait = m.pauseFor(rec, gentlePause, now)
		case muxer.CodeEvicted, muxer.CodeInquiryDone:
			wait = m.pauseFor(rec, evictedPause, now)
		case muxer.CodeDuplicate:
			wait = m.pauseFor(rec, shortPause, now)
		case muxer.CodeShuttingDown:
			if reason.Remote {
				wait = m.pauseFor(rec, shortPause, now)
			} else {
				wait = 0
			}
		case muxer.CodeProtocolError, muxer.CodeMisbehaved, muxer.CodeMessageTooBig, muxer.CodeWrongChannel, muxer.CodeAuthFailed:
			if !reason.Remote && reason.Code != muxer.CodeMisbehaved { // a report has cost its points already
				addScore(rec, -penalty, now)
			}
			wait = max(m.countFailure(&rec.Failures, rec, now), m.pauseFor(rec, gentlePause, now))
		default:
			if !stable && !l.inbound() {
				wait = m.countFailure(&rec.Failures, rec, now)
			}
		}
		if wait > 0 {
			rec.NotBefore = later(rec.NotBefore, now.Add(wait))
		}
	})
}
