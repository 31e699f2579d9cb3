package peerstore

import "time"

// Totals are the store's Stats with the bans that hold at now: a store clears bans that have ended away in its own time, and counts them until then.
func Totals(s interface {
	Stats() Stats
	Bans(now time.Time) []Ban
}, now time.Time) Stats {
	st := s.Stats()
	if st.Banned > 0 {
		st.Banned = len(s.Bans(now))
	}
	return st
}
