package peers

import (
	"errors"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// recorder writes into the store what came of dials and links: failures, backoffs, quarantines.
type recorder struct {
	*table
	selves      *selves
	guests      *guests
	quarantined idSet // at least those whose quarantine holds
}

// hopeless reports whether a peer is to be forgotten once it is idle, as it has no address left. The store forgets
// those that do not answer.
func (r *recorder) hopeless(rec *peerstore.Record, now time.Time) bool {
	return !r.exempt(rec.ID) && !r.private[rec.ID] &&
		len(rec.Addresses) == 0 && Score(rec, now) == 0 && !rec.Quarantined.After(now)
}

// dialFailed records a dial that brought no link. What happened before the peer's key was proven says nothing about the
// peer: anybody may have told of the address, and anybody may answer there. So it counts against the address alone.
//
// The failure of a dial of a lost peer counts for nothing: that it is not reached is known.
func (r *recorder) dialFailed(p *peer, failures []DialFailure, lost bool, now time.Time) {
	r.store.Update(p.id, func(rec *peerstore.Record) {
		var failed, guilty bool // an address has failed; the peer, whose key was proven, has
		var wait time.Duration
		for _, f := range failures {
			proven := handshake.ProvenID(f.Err) == rec.ID
			if lost && !proven {
				continue
			}
			isFailure, w := r.addressFailed(rec, f, proven, now)
			failed = failed || isFailure
			if proven {
				guilty, wait = guilty || isFailure, max(wait, w)
			}
		}
		switch {
		case p.preferred != nil: // it dialed us meanwhile, so it is well
		case guilty:
			rec.NotBefore = later(rec.NotBefore, now.Add(r.countFailure(&rec.Failures, rec, now)))
		case wait > 0:
			rec.NotBefore = later(rec.NotBefore, now.Add(r.backoff(rec, wait, now)))
		case failed && bestFailures(rec) > rec.Failures:
			rec.Failures++ // each of its addresses has failed more often
		}
		p.hopeless = p.idle() && r.hopeless(rec, now)
	})
}

// addressFailed records why one address of a dial brought no link. It reports whether that counts as a failure, and how
// long the address backs off if not; or, if the peer had proven its key there, the peer.
func (r *recorder) addressFailed(
	rec *peerstore.Record, f DialFailure, proven bool, now time.Time,
) (failed bool, wait time.Duration) {
	code, remote := codeOf(f.Err)
	works := answered(rec.ID, f.Err)
	a := addressOf(rec, f.Address)
	if a == nil { // forgotten meanwhile
		a = &peerstore.AddressRecord{}
	}
	a.LastDialed = now
	a.LastError = f.Err.Error() // the store cuts it
	if works {
		a.LastSuccess, a.Failures = now, 0
	}
	full := code == muxer.CodeTooManyPeers || code == muxer.CodeTooManyStarts || code == muxer.CodeShuttingDown
	switch {
	case code == muxer.CodeSelf:
		r.selves.add(f.Address)
		dropAddress(rec, f.Address)
		return false, 0
	case proven && foreign(f.Err):
		r.quarantine(rec, f.Err.Error(), now)
		return false, 0
	case code == muxer.CodeWrongID && !a.Source.Configured() && a.LastSuccess.IsZero():
		dropAddress(rec, f.Address) // it never was its address
		return false, 0
	case remote && full:
		wait = fullBackoff
	case code == muxer.CodeDuplicate:
		wait = duplicateBackoff
	case !remote && (full || code == muxer.CodeRequested || code == muxer.CodeNoSignature):
		// we ended it ourselves: that says nothing about the peer
		wait = r.cfg.MinBackoff
	default:
		if !works {
			wait := r.countFailure(&a.Failures, rec, now)
			if errors.Is(f.Err, transport.ErrNoTransport) {
				wait = r.cfg.MaxBackoff // it will not work before a restart
			}
			a.NotBefore = later(a.NotBefore, now.Add(wait))
		}
		return true, 0
	}
	if !proven {
		a.NotBefore = later(a.NotBefore, now.Add(r.backoff(rec, wait, now)))
	}
	return false, wait
}

// bestFailures returns how often the best address of a peer has failed; 0 for a peer without an address.
func bestFailures(rec *peerstore.Record) (fewest uint32) {
	for i := range rec.Addresses {
		if f := rec.Addresses[i].Failures; i == 0 || f < fewest {
			fewest = f
		}
	}
	return fewest
}

// dialRefused lets a peer back off whose link we refused after dialing it.
func (r *recorder) dialRefused(id transport.NodeID, refusal *DisconnectError, now time.Time) {
	wait := fullBackoff
	if refusal.Code == muxer.CodeDuplicate {
		wait = duplicateBackoff
	}
	r.store.Update(id, func(rec *peerstore.Record) {
		rec.NotBefore = later(rec.NotBefore, now.Add(r.backoff(rec, wait, now)))
	})
}

// feelerEnded records that a feeler has found its peer at the address, and refuses the link. worked reports whether it
// has proven the address: a guest is not the peer that we looked for.
func (r *recorder) feelerEnded(a Arrival, p *peer, now time.Time) (refusal *DisconnectError, worked bool) {
	refusal = &DisconnectError{Code: muxer.CodeInquiryDone, Reason: "a short visit, to see that the address works"}
	ban, banned := r.store.Banned(a.ID, a.IP, now)
	if banned {
		refusal = &DisconnectError{Code: muxer.CodeBanned, Reason: ban.Reason}
	}
	r.store.Update(a.ID, func(rec *peerstore.Record) {
		rec.NotBefore = later(rec.NotBefore, now.Add(r.backoff(rec, duplicateBackoff, now)))
		addr := addressOf(rec, a.Dialed)
		if addr == nil || banned {
			return
		}
		if addr.LastDialed = now; a.Guest {
			return
		}
		addr.LastSuccess, addr.LastError, addr.Failures, addr.NotBefore = now, "", 0, time.Time{}
		rec.Failures, rec.Quarantined, rec.QuarantineReason = 0, time.Time{}, ""
		worked = true
	})
	if a.Guest && (p.preferred == nil || p.preferred.guest) {
		r.rememberGuest(a.ID, now)
	}
	return refusal, worked
}

// linkReady records a link that has come up.
func (r *recorder) linkReady(l *link, now time.Time) {
	r.store.Update(l.peer.id, func(rec *peerstore.Record) {
		rec.LastConnected = now
		if !l.guest {
			rec.Quarantined, rec.QuarantineReason = time.Time{}, ""
		}
		if a := addressOf(rec, l.dialed); a != nil {
			a.LastSuccess, a.LastError = now, ""
		}
	})
	// A name that was dialed has proven the IP, too, which can be told to others.
	if _, isIP := l.dialed.IP(); isIP || l.guest {
		return
	}
	if at, ok := l.dialed.WithIP(l.ip); ok && !at.IsLoopback() &&
		r.store.Add(at, peerstore.Source{Kind: "peer", From: l.peer.id}, now) {
		r.store.Update(l.peer.id, func(rec *peerstore.Record) {
			if a := addressOf(rec, at); a != nil {
				a.LastDialed, a.LastSuccess = now, now
			}
		})
	}
}

// linkEnded records the end of a peer's last link, and decides when the peer may be dialed again. Only a link that
// lived for StableAfter counts as a success.
func (r *recorder) linkEnded(l *link, reason *DisconnectError, now time.Time) {
	p := l.peer
	if l.guest {
		r.rememberGuest(p.id, now)
	}
	stable := !l.ready.IsZero() && now.Sub(l.ready) >= r.cfg.StableAfter
	r.store.Update(p.id, func(rec *peerstore.Record) {
		if !l.ready.IsZero() {
			rec.LastDisconnected = now
		}
		addScore(rec, 0, now) // the store ranks by the plain number
		if stable {
			rec.Failures = 0
			if a := addressOf(rec, l.dialed); a != nil {
				a.Failures, a.NotBefore = 0, time.Time{}
			}
		}
		if wait := r.backoffAfter(l, rec, reason, stable, now); wait > 0 {
			rec.NotBefore = later(rec.NotBefore, now.Add(wait))
		}
		p.hopeless = p.idle() && r.hopeless(rec, now)
	})
}

// backoffAfter returns the backoff of a peer whose last link has ended.
func (r *recorder) backoffAfter(
	l *link, rec *peerstore.Record, reason *DisconnectError, stable bool, now time.Time,
) time.Duration {
	switch reason.Code {
	case muxer.CodeWrongNetwork, muxer.CodeIncompatible:
		r.quarantine(rec, reason.Error(), now)
	case muxer.CodeTooManyPeers, muxer.CodeTooManyStarts, muxer.CodeRequested:
		return r.backoff(rec, fullBackoff, now)
	case muxer.CodeEvicted, muxer.CodeInquiryDone:
		if causeOf(reason) == "found" { // it has done nothing wrong, and there may soon be room again
			return r.backoff(rec, fullBackoff, now)
		}
		return r.backoff(rec, evictedBackoff, now)
	case muxer.CodeDuplicate:
		return r.backoff(rec, duplicateBackoff, now)
	case muxer.CodeShuttingDown:
		if !reason.Remote {
			return 0
		}
		return r.backoff(rec, duplicateBackoff, now)
	case muxer.CodeProtocolError, muxer.CodeMisbehaved, muxer.CodeMessageTooBig, muxer.CodeWrongChannel,
		muxer.CodeAuthFailed:
		if !reason.Remote && reason.Code != muxer.CodeMisbehaved { // a report has cost its points already
			addScore(rec, -penalty, now)
		}
		return max(r.countFailure(&rec.Failures, rec, now), r.backoff(rec, fullBackoff, now))
	default:
		if !stable && !l.inbound {
			return r.countFailure(&rec.Failures, rec, now)
		}
	}
	return r.backoff(rec, r.cfg.MinBackoff, now)
}

func dropAddress(rec *peerstore.Record, addr transport.Address) {
	rec.Addresses = slices.DeleteFunc(rec.Addresses, func(a peerstore.AddressRecord) bool { return a.Address == addr })
}
