package peerstore

// A rank orders peers, the greatest first. It is one number, so that an index compares whole ranks at once, from its highest bits:
//
//	1 bit   kept: trusted, unconditional or busy, which pruning spares (in book.all only)
//	1 bit   trusted
//	10 bits quality: see below
//	32 bits the minute of the last success
//	20 bits chance, drawn anew whenever the rest changes: equals are ordered at random
//
// Quality is the score, and successWorth for a peer that was reached, less failureCost for each dial that failed since. So a peer that
// worked stays before a new one after one failure, draws level after two, and is behind it after three; however long ago
// it worked, it does not hold up the new ones for ever.
const (
	keptBit    = 1 << 63
	trustedBit = 1 << 62

	qualityShift = 52
	minuteShift  = 20
	chanceMask   = 1<<minuteShift - 1

	successWorth    = 10
	failureCost     = 5
	countedFailures = 50
	qualityZero     = 512 // quality lies in -100-50*5 .. 100+10
)

// rankOf is the rank of e with no chance in it.
func rankOf(e *entry) uint64 {
	var rank uint64
	if e.trusted || e.unconditional || e.busy {
		rank |= keptBit
	}
	if e.trusted {
		rank |= trustedBit
	}
	quality := qualityZero + int(e.score) - failureCost*int(min(e.failures, countedFailures))
	worked := e.lastWorked()
	if worked != 0 {
		quality += successWorth
	}
	const minute = 60e9
	minutes := min(uint64(worked)/minute, 1<<32-1)
	return rank | uint64(quality)<<qualityShift | minutes<<minuteShift
}

// lastWorked is when any address last worked.
func (e *entry) lastWorked() int64 {
	var last int64
	for i := range e.addrs {
		last = max(last, e.addrs[i].lastWorked)
	}
	return last
}
