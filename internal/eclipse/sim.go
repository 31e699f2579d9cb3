// Package eclipse simulates an attacker who wants all outbound links of one node, the victim (an eclipse: Heilman et
// al. 2015). It measures how far he gets: with all countermeasures, with one of the peer manager's switched off, and
// against two simpler ways to choose peers.
//
// The victim is the real thing: a peers.Manager over a peer store in memory, under a virtual clock. The rest of the
// world is simulated (see world): honest nodes that are often offline, full, or gone again, and an attacker whose nodes
// always answer and never hang up. A run repeats exactly with its seed.
package eclipse

import (
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Slots is the number of outbound links that the victim wants.
const Slots = 8

// Attack describes one run.
type Attack struct {
	Addresses int // of the attacker, each a node of its own
	Groups    int // network groups that they lie in
	Policy    Policy
	Seed      uint64
	Time      Times
}

// Times are the times of a run. A zero field means its default.
type Times struct {
	Peace   time.Duration // before the attacker comes; 0 means 6 h
	War     time.Duration // with the attacker; 0 means 16 h
	Restart time.Duration // between two restarts that the attacker forces; 0 means 4 h
	Sample  time.Duration // 0 means 30 min
}

func (t Times) withDefaults() Times {
	def := func(d *time.Duration, otherwise time.Duration) {
		if *d <= 0 {
			*d = otherwise
		}
	}
	def(&t.Peace, 6*time.Hour)
	def(&t.War, 16*time.Hour)
	def(&t.Restart, 4*time.Hour)
	def(&t.Sample, 30*time.Minute)
	return t
}

// Result is the result of a run.
type Result struct {
	Attack Attack
	Shares []float64 // of the outbound slots that the attacker holds, at each sample from the beginning of the attack
	Share  float64   // their mean over the second half
	Worst  float64   // the largest mean of any hour
	// the part of the time in which he has all outbound links, and there are some: the victim is eclipsed
	Whole float64
	Known int     // peers in the victim's book at the end
	His   float64 // the attacker's share of them
	Links float64 // outbound links that the victim has on average
}

// Run runs one attack. Call it in a bubble of testing/synctest, as it sleeps for hours.
func Run(a Attack) Result {
	a.Time = a.Time.withDefaults()
	w := newWorld(a)
	t := a.Time
	w.at(t.Peace, w.beginAttack)
	for at := t.Restart; at < t.Peace+t.War; at += t.Restart {
		w.at(at, w.restart)
	}
	var shares, links []float64
	for at := t.Peace + t.Sample/2; at < t.Peace+t.War; at += t.Sample { // between the restarts
		w.at(at, func() {
			his, all := w.victim.outbound()
			shares = append(shares, float64(his)/float64(max(all, 1)))
			links = append(links, float64(all))
			if his == all && all > 0 {
				w.eclipsed++
			}
		})
	}
	w.run(t.Peace + t.War)

	r := Result{Attack: a, Shares: shares, Share: mean(shares[len(shares)/2:]), Links: mean(links),
		Whole: float64(w.eclipsed) / float64(len(shares))}
	hour := max(1, int(time.Hour/t.Sample))
	for i := 0; i+hour <= len(shares); i++ {
		r.Worst = max(r.Worst, mean(shares[i:i+hour]))
	}
	r.Known, r.His = w.victim.known()
	return r
}

func mean(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum / float64(max(1, len(v)))
}

// self is the victim's node id.
const self = transport.NodeID("ffffffffffffffffffffffffffffffffffffffff")

// refused returns the refusal of a full node, as the victim's router would report it: with a reason, after both ends
// have exchanged their infos.
func refused() error {
	return &handshake.Refusal{Code: codeFull, Stage: handshake.StageInfo, Remote: true,
		Reason: "all inbound slots are taken"}
}
