package peers

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// stepRestart stops the node and begins again with what its store has.
func (w *model) stepRestart() {
	for _, id := range slices.Sorted(maps.Keys(w.dials)) {
		var failures []DialFailure
		for _, a := range w.dials[id].addrs {
			failures = append(failures, DialFailure{a, &DisconnectError{Code: muxer.CodeShuttingDown}})
		}
		before, _ := w.m.store.Get(id)
		w.m.DialFailed(id, failures)
		delete(w.dials, id)
		if rec, still := w.m.store.Get(id); still && rec.Failures != before.Failures {
			w.fatal("that we stop counts as a failure of %s", id)
		} else if !still {
			w.forget(id)
		}
	}
	for len(w.links) > 0 {
		w.disconnect(w.anyLink(), muxer.CodeShuttingDown)
	}
	w.check()
	old := w.m
	for _, id := range w.ids {
		if rec, _ := old.store.Get(id); rec.Busy {
			w.fatal("%s is busy after all links and dials have ended", id)
		}
	}
	w.fast.Close()
	w.slow.Close()
	m, err := New(pmSelf, w.cfg, old.store)
	if err != nil {
		w.fatal("%v", err)
	}
	w.m = &pm{Manager: m, t: w.t, store: old.store}
	w.fast, w.slow = m.Subscribe(w.t.Context()), m.Subscribe(w.t.Context())
	clear(w.fastView)
	clear(w.slowView)
	w.evicts = nil
	maps.Copy(w.roles, w.configured())
	clear(w.lost)
	w.restoreSins()
	w.did("restart", "")
}

// restoreSins takes over what is left of the misdeeds: the bans that they led to, whole; of the last few points, none
// or some, and their decay by the second.
func (w *model) restoreSins() {
	for key, s := range w.sins {
		o := w.m.offences[key]
		if o == nil {
			o = &offence{}
		}
		left, _ := decay(o.points, o.since, time.Now())
		if (o.bans != s.bans || o.bans > 0 && o.until.Unix() != s.until.Unix()) && time.Since(s.until) <= forgiveness ||
			left > w.sin(key, 0)+1 {
			w.fatal("of %+v against %s is left %+v", s, strings.TrimSpace(key), *o)
		}
	}
	clear(w.sins)
	for key, o := range w.m.offences {
		w.sins[key] = modelSin{points: o.points, bans: o.bans, since: o.since, until: o.until}
	}
}
