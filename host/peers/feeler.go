package peers

import (
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// A feeler is a short dial that only tests an address, while all outbound slots are full: so the store knows at any time enough addresses that work, and nobody fills
// it with such that do not. The store says whom to test: tried peers whose place another one claims, else new ones. Once the handshake has proven
// the key and told the node info, the address counts as one that works, and the link is refused with CodeInquiryDone before anybody hears of it.

// contestHaste is how many times faster feelers follow each other while tried peers have to show that they still work.
const contestHaste = 4

// dialBeyond finds something to dial while all outbound slots are full; mu is held.
func (m *Manager) dialBeyond(now time.Time) (Dial, bool) {
	for _, try := range []func(time.Time) (Dial, bool){m.tryUpgrade, m.tryChurn, m.tryFeeler} {
		if d, ok := try(now); ok {
			return d, true
		}
	}
	return Dial{}, false
}

// tryFeeler begins a feeler if one is due; mu is held.
func (m *Manager) tryFeeler(now time.Time) (Dial, bool) {
	if !m.feels() || m.feelerAt.After(now) {
		return Dial{}, false
	}
	m.feelerAt = now.Add(m.about(m.cfg.Feelers))
	var rejected rejects
	q := peerstore.Query{Skip: m.query(rejected).Skip}
	for range maxLooks {
		rec, ok := m.store.Feeler(now, q)
		if !ok {
			break
		}
		if d, ok := m.dial(&rec, slotFeeler, now); ok {
			if rec.InTried { // others may wait for their test, and lose their place without one
				m.feelerAt = now.Add(m.about(m.cfg.Feelers / contestHaste))
			}
			return d, true
		}
		m.reject(rec.ID, &rejected)
	}
	return Dial{}, false
}

// feels says that feelers may be dialed: one at a time; mu is held.
func (m *Manager) feels() bool {
	return m.cfg.Feelers > 0 && m.cfg.MaxOutbound > 0 && m.freeOutbound() <= 0 && m.dialing[slotFeeler] == 0
}

// feelerDue is when the next feeler is to be dialed; mu is held.
func (m *Manager) feelerDue(now time.Time) (time.Time, bool) {
	return m.feelerAt, m.feels() && m.feelerAt.After(now)
}

// about is a time around d, from half of it to one and a half: nobody shall know it.
func (m *Manager) about(d time.Duration) time.Duration { return d/2 + jitter(d, m.rng) }

// feelerOf is the feeler that has brought a link, if one has; mu is held.
func (m *Manager) feelerOf(a Arrival) *dialState {
	p := m.peers[a.ID]
	if p == nil || p.dial == nil || p.dial.slot != slotFeeler || a.Side != muxer.Dialer {
		return nil
	}
	return p.dial
}

// feelerUp writes down that the address works, and refuses the link; mu is held.
func (m *Manager) feelerUp(a Arrival, now time.Time) *DisconnectError {
	p := m.peers[a.ID]
	m.endDial(p)
	reason := &DisconnectError{Code: muxer.CodeInquiryDone, Reason: "a short visit, to see that the address works"}
	if ban, ok := m.store.Banned(a.ID, a.IP, now); ok {
		reason = &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	m.store.Update(a.ID, func(rec *peerstore.Record) {
		rec.NotBefore = later(rec.NotBefore, now.Add(m.pauseFor(rec, shortPause, now)))
		addr := addressOf(rec, a.Dialed)
		if addr == nil || reason.Code == muxer.CodeBanned {
			return
		}
		if addr.LastDialed = now; a.Guest {
			return
		}
		addr.LastSuccess, addr.LastError, addr.Failures, addr.NotBefore = now, "", 0, time.Time{}
		m.tally.FeelersWorked++
		rec.Failures, rec.Quarantined, rec.QuarantineReason = 0, time.Time{}, ""
	})
	if a.Guest && (p.current == nil || p.current.guest) {
		m.rememberGuest(a.ID, now)
	}
	m.tidy(p)
	m.dialWake.wake()
	return reason
}

// felt counts a feeler that brought no link; mu is held.
func (m *Manager) felt(failures []DialFailure) {
	if slices.ContainsFunc(failures, func(f DialFailure) bool { return answered(f.Err) }) {
		m.tally.FeelersWorked++
	} else {
		m.tally.FeelersFailed++
	}
}
