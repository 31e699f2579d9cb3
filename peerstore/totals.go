package peerstore

import "time"

// Totals are the store's Stats with the bans that hold at now: a store clears bans that have ended away in its own time, and counts them until then. It costs no more
// than to clear those away.
func Totals(s interface {
	Stats() Stats
	ClearBans(now time.Time)
}, now time.Time) Stats {
	s.ClearBans(now)
	return s.Stats()
}

// ClearBans clears the bans away that have ended at now, a few under the lock at a time. Each is cleared once, so what it costs follows from how many bans there were,
// not from how often it is called.
func (b *Book) ClearBans(now time.Time) {
	if b.banned.Load() == 0 {
		return
	}
	for more := true; more; {
		b.mu.Lock()
		b.now = nano(now)
		b.endBans()
		first, ok := b.bans.ends.Min()
		more = ok && first.at <= b.now
		b.mu.Unlock()
	}
}
