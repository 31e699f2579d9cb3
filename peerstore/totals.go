package peerstore

import "time"

// Totals returns the store's Stats with only the bans that hold at now: it clears the others first.
func Totals(s interface {
	Stats() Stats
	ClearBans(now time.Time)
}, now time.Time) Stats {
	s.ClearBans(now)
	return s.Stats()
}
