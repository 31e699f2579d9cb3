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

// Score is the score of a peer as the store has it, at a time: what it has earned fades.
func Score(rec *peerstore.Record, at time.Time) int { return scoreAt(rec, at) }

// scoreAt is a record's score now. Decay is a function of time, in whole steps: nothing has to run for it, and reading often does not round it away.
func scoreAt(rec *peerstore.Record, now time.Time) int {
	score, _ := decayed(rec, now)
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

// Report tells what a peer did, good or bad. A report on an unknown peer is ignored. Misdeeds add up (see offences): no good deeds outweigh them. A trusted or
// unconditional peer is never banned for them, only disconnected: no message may talk us out of the peers that the operator chose.
func (m *Manager) Report(id transport.NodeID, b Behaviour) {
	points := min(max(b.Points, -1000), 1000) // beyond what any score or threshold can tell apart
	if b.Severity > Log {
		points = -max(points, -points)
		if points == 0 {
			points = -[...]int{Log: 0, Penalise: penalty, Disconnect: disconnectPenalty, Ban: banPenalty}[min(b.Severity, Ban)]
		}
	}
	now := time.Now()
	m.mu.Lock()
	p := m.peers[id]
	credit := points
	if p != nil && p.current != nil && p.current.inbound() {
		credit = m.creditOf(id, points, now)
	}
	if !m.score(id, credit, now) {
		m.mu.Unlock()
		return
	}
	if p != nil && p.current != nil && points > 0 {
		p.current.useful = min(p.current.useful+points, 1<<30)
	}
	var bans []peerstore.Ban
	if b.Severity > Log {
		bans = m.misdeed(id, -points, b, now)
	}
	m.mu.Unlock()
	for _, ban := range bans { // the store may write to disk: not under the lock. Where it cannot be written, the ban holds in memory.
		_ = m.Ban(ban.Target, ban.Until, ban.Reason)
	}
}

// creditOf is what good deeds count for the score of a peer that dialed us: they protect its link, and raise its score to just below what earns an outbound slot. That it has to earn
// on links that we dialed: else many that dial us could prepare their places among those that we dial. mu is held.
func (m *Manager) creditOf(id transport.NodeID, points int, now time.Time) int {
	rec, _ := m.store.Get(id)
	return min(points, max(0, upgradeMargin-1-scoreAt(&rec, now)))
}

// score adds points to a known peer's score; mu is held.
func (m *Manager) score(id transport.NodeID, points int, now time.Time) bool {
	score := 0
	if !m.store.Update(id, func(rec *peerstore.Record) { score = addScore(rec, points, now) }) {
		return false
	}
	if score >= upgradeMargin && m.promise(id) {
		m.dialWake.wake()
	}
	return true
}

// Scores are the scores of the peers that are linked or being dialed. Those of others are in Status.
func (m *Manager) Scores() map[transport.NodeID]int {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[transport.NodeID]int, len(m.peers))
	for id := range m.peers {
		if rec, ok := m.store.Get(id); ok {
			out[id] = scoreAt(&rec, now)
		}
	}
	return out
}
