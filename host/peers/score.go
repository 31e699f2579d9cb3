package peers

import (
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// scoreStep is how long a score takes to come one point nearer to zero: a full score is forgotten in eight hours.
const scoreStep = 5 * time.Minute

// Points that a reported misdeed costs when the report names none.
const (
	penalty           = 10
	disconnectPenalty = 25
	banPenalty        = 100
)

// Score returns a peer's score at a time: what it has earned fades. The decay is a function of time, in whole steps:
// nothing has to run for it, and reading often does not round it away.
func Score(rec *peerstore.Record, at time.Time) int {
	score, _ := decayed(rec, at)
	return score
}

// decayed also returns the time up to which the decay is accounted for.
func decayed(rec *peerstore.Record, now time.Time) (int, time.Time) {
	return decay(min(max(int(rec.Score), peerstore.MinScore), peerstore.MaxScore), rec.Scored, now)
}

// decay brings points nearer to zero, one for each scoreStep since the given time.
func decay(points int, since, now time.Time) (int, time.Time) {
	passed := now.Sub(since)
	if since.IsZero() || passed <= 0 || points == 0 {
		return points, now
	}
	steps := min(passed/scoreStep, peerstore.MaxScore-peerstore.MinScore)
	since = since.Add(steps * scoreStep)
	if points > 0 {
		points = max(points-int(steps), 0)
	} else {
		points = min(points+int(steps), 0)
	}
	if points == 0 {
		since = now
	}
	return points, since
}

// addScore adds points, saturating.
func addScore(rec *peerstore.Record, points int, now time.Time) int {
	const span = peerstore.MaxScore - peerstore.MinScore
	score, since := decayed(rec, now)
	score += min(max(points, -span), span)
	score = min(max(score, peerstore.MinScore), peerstore.MaxScore)
	rec.Score, rec.Scored = int16(score), since
	return score
}

// Report records what a peer did, good or bad. A report on an unknown peer is ignored. Misdeeds add up (see offences),
// and no good deeds outweigh them. A trusted or unconditional peer is never banned for them, only disconnected: no
// message may talk us out of the peers that the operator chose. Report returns the ban that it made, if it did.
func (m *Manager) Report(id transport.NodeID, b Behaviour) (ban peerstore.Ban, banned bool) {
	points := min(max(b.Points, -1000), 1000) // beyond what any score or threshold can tell apart
	if b.Severity > Log {
		points = -max(points, -points)
		if points == 0 {
			points = -[...]int{Log: 0, Penalise: penalty, Disconnect: disconnectPenalty,
				Ban: banPenalty}[min(b.Severity, Ban)]
		}
	}
	if ban, banned = m.report(id, points, b); banned { // the store may write to disk, so not under the lock
		_ = m.Ban(ban.Target, ban.Until, ban.Reason) // one that cannot be written holds in memory
	}
	return ban, banned
}

// report does what Report does under the lock. It returns the ban that is due.
func (m *Manager) report(id transport.NodeID, points int, b Behaviour) (ban peerstore.Ban, due bool) {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	var l *link
	if p := m.peers[id]; p != nil {
		l = p.preferred
	}
	credit := points
	if l != nil && l.inbound {
		credit = m.creditOf(id, points, now)
	}
	score := 0
	if !m.store.Update(id, func(rec *peerstore.Record) { score = addScore(rec, credit, now) }) {
		return ban, false
	}
	if score >= upgradeMargin && m.dialer.promises.add(id, now) {
		m.dialWake.wake()
	}
	if l != nil && points > 0 {
		l.useful = min(l.useful+points, 1<<30)
	}
	if b.Severity == Log {
		return ban, false
	}
	return m.misdeed(id, -points, b, now)
}

// creditOf returns what good deeds of an inbound peer add to its score: they protect its link, and raise the score to
// just below what earns an outbound slot. That it must earn on links that we dialed; otherwise many that dial us could
// prepare their places among those that we dial.
func (t *table) creditOf(id transport.NodeID, points int, now time.Time) int {
	rec, _ := t.store.Get(id)
	return min(points, max(0, upgradeMargin-1-Score(&rec, now)))
}
