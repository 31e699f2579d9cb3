package peers

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

func (w *model) step() {
	switch n := w.rng.IntN(100); {
	case n < 10:
		w.stepLearn()
	case n < 25:
		w.stepDial()
	case n < 38:
		w.stepDialEnds()
	case n < 52:
		w.stepAccept()
	case n < 67:
		w.stepReady()
	case n < 72:
		w.stepEstablish()
	case n < 81:
		w.stepDown()
	case n < 88:
		w.stepEvict()
	case n < 92:
		w.stepReport()
	case n < 93:
		w.stepBan()
	case n < 94:
		w.stepRequest()
	case n < 95:
		w.stepBeginDial()
	case n < 97:
		w.stepMove()
	case w.rng.IntN(20) == 0:
		w.stepRole()
	case w.rng.IntN(60) == 0:
		w.stepRestart()
	default:
		w.stepTime()
	}
}

func (w *model) stepLearn() {
	id := w.pick()
	addr := w.addr(id, w.rng.IntN(3))
	got := w.m.Add(addr, peerstore.Source{Kind: "pex"}) == nil
	w.did("learn", "%s %v", addr, got)
	if got && w.banned(id, netip.Addr{}) {
		w.fatal("learned the banned %s", id)
	}
}

func (w *model) stepTime() {
	d := []time.Duration{time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 12 * time.Second, time.Minute,
		10 * time.Minute, 2 * time.Hour}[min(w.rng.IntN(7), w.rng.IntN(7)+w.rng.IntN(2))]
	w.did("time", "%s", d)
	time.Sleep(d)
}

func (w *model) stepDial() {
	links, dials := w.outbound()
	free := w.cfg.MaxOutbound - links - dials
	now := time.Now()
	// what may be dialed of a peer, as the store has it; of a lost one whatever the backoffs
	due := func(id transport.NodeID, lost bool) (addrs []transport.Address) {
		rec, ok := w.m.store.Get(id)
		if !ok || w.dials[id] != nil || w.of(id, "current") != nil || w.of(id, "leaving") != nil ||
			!lost && rec.NotBefore.After(now) || rec.Quarantined.After(now) ||
			w.banned(id, netip.Addr{}) {
			return nil
		}
		for _, a := range rec.Addresses {
			ip, _ := a.Address.IP()
			if (lost || !a.NotBefore.After(now)) && !w.banned("", ip) && (w.exempt(id) || w.full(ip) == "") {
				addrs = append(addrs, a.Address)
			}
		}
		return addrs
	}
	mayDial := map[transport.NodeID][]transport.Address{}
	for _, id := range w.ids {
		if addrs := due(id, false); addrs != nil {
			mayDial[id] = addrs
		}
	}
	mayDialLost := map[transport.NodeID][]transport.Address{}
	for id, at := range w.lost {
		if addrs := due(id, true); addrs != nil && now.Sub(at) <= lostFor {
			mayDialLost[id] = addrs
		}
	}
	anchors := slices.Clone(w.m.dialer.anchors.pending)
	d, ok := w.m.TryDialNext()
	if !ok {
		for id := range mayDial {
			if w.trusted(id) || free > 0 {
				w.fatal("no dial, but %s is due", id)
			}
		}
		w.did("no dial", "")
		return
	}
	if d.Replaces != 0 {
		w.beginMove(d)
		return
	}
	want, lost := mayDial[d.ID], !w.m.peers[d.ID].dial.lost.IsZero()
	if lost {
		want = mayDialLost[d.ID]
	}
	if want == nil || len(d.Addresses) != len(want) {
		w.fatal("dials %+v, may dial %v", d, want)
	}
	for _, a := range d.Addresses {
		if !slices.Contains(want, a) {
			w.fatal("dials %s, which is not due", a)
		}
	}
	switch {
	case lost && d.Upgrade:
		if free > 0 || links+dials >= w.cfg.MaxOutbound+w.cfg.MaxUpgrades {
			w.fatal("dials the lost %s with %d free slots, %d links and %d dials", d.ID, free, links, dials)
		}
		w.did("dial lost beyond full slots", "%s", d.ID)
	case lost:
		if free <= 0 {
			w.fatal("dials the lost %s without a free slot", d.ID)
		}
		w.did("dial lost", "%s", d.ID)
	case w.trusted(d.ID):
		w.did("dial trusted", "%s", d.ID)
	case d.Feeler:
		for id, other := range w.dials {
			if other.feeler {
				w.fatal("feelers to %s and %s at once", id, d.ID)
			}
		}
		if free > 0 || now.Sub(w.felt) < w.cfg.Feelers/2 {
			w.fatal("feeler %s %s after the one before, with %d free slots", d.ID, now.Sub(w.felt), free)
		}
		w.felt = now
		w.did("feeler", "%s", d.ID)
	case d.Upgrade && w.m.churns(d.ID):
		if free > 0 || dials > 0 || links != w.cfg.MaxOutbound || now.Sub(w.turned) < w.cfg.Churn/2 {
			w.fatal("churn %s %s after the one before, with %d links and %d dials", d.ID, now.Sub(w.turned), links,
				dials)
		}
		w.turned = now
		w.did("churn", "%s", d.ID)
	case d.Upgrade:
		if free > 0 || links+dials >= w.cfg.MaxOutbound+w.cfg.MaxUpgrades {
			w.fatal("upgrade %s with %d free slots, %d links and %d dials", d.ID, free, links, dials)
		}
		best := -1000
		for _, id := range w.ids {
			if mayDial[id] != nil {
				best = max(best, w.scoreOf(id))
			}
		}
		if s := w.scoreOf(d.ID); s < upgradeMargin || s < best {
			w.fatal("upgrade %s with a score of %d, the best has %d", d.ID, s, best)
		}
		w.did("upgrade", "%s", d.ID)
	default:
		if free <= 0 {
			w.fatal("dials %s without a free slot", d.ID)
		}
		w.did("dial", "%s", d.ID)
	}
	if slices.Contains(anchors, d.ID) { // those of the last run come before all others, if there is a slot
		w.did("anchor", "%s", d.ID)
	} else if !lost && !w.trusted(d.ID) {
		for id := range mayDial {
			if w.trusted(id) {
				w.fatal("dials %s before the trusted %s", d.ID, id)
			}
		}
	}
	w.dials[d.ID] = &modelDial{free: w.trusted(d.ID), upgrade: d.Upgrade, feeler: d.Feeler, lost: lost,
		addrs: d.Addresses}
	if d.Upgrade && w.rng.IntN(4) > 0 && !w.dead(d.ID) { // left to chance, something comes in between most of them
		ip, _ := d.Addresses[0].IP()
		w.arrive(d.ID, muxer.Dialer, w.dials[d.ID], ip, d.Addresses[0])
		if l := w.of(d.ID, "current"); l != nil {
			w.establish(l)
			w.ready(l)
		}
	}
}

func (w *model) stepBeginDial() {
	id := w.pick()
	addr := w.addr(id, 0)
	ip, _ := addr.IP()
	err := w.m.BeginDial(addr)
	current := w.of(id, "current")
	var want muxer.Code
	switch {
	case w.banned(id, ip):
		want = muxer.CodeBanned
	case w.dials[id] != nil, current != nil && !current.evict:
		want = muxer.CodeDuplicate
	}
	var d *DisconnectError
	if errors.As(err, &d); (err != nil) != (want != 0) || err != nil && d.Code != want {
		w.fatal("begin to dial %s: %v, want %v", id, err, want)
	}
	w.did("begin dial", "%s %v", id, err)
	if err == nil {
		w.dials[id] = &modelDial{requested: true, free: true, addrs: []transport.Address{addr}}
	}
}

func (w *model) stepDialEnds() {
	if len(w.dials) == 0 {
		return
	}
	ids := slices.Sorted(maps.Keys(w.dials))
	id := ids[w.rng.IntN(len(ids))]
	d := w.dials[id]
	if d.moves != 0 {
		w.moveEnds(id, d)
		return
	}
	if w.rng.IntN(100) < 60 && !w.dead(id) {
		addr := d.addrs[w.rng.IntN(len(d.addrs))]
		ip, _ := addr.IP()
		w.arrive(id, muxer.Dialer, d, ip, addr)
		return
	}
	before, known := w.m.store.Get(id)
	now := time.Now()
	var failures []DialFailure
	count := map[transport.Address]bool{}                    // addresses that have failed
	peerFails, peerRests, quarantined := false, false, false // the peer as a whole, whose key was proven
	for _, a := range d.addrs {
		var err error
		proven := w.rng.IntN(3) == 0 && !w.dead(id)
		kind := w.rng.IntN(9)
		if w.dead(id) {
			kind = 9
		}
		switch kind {
		case 0:
			err = &handshake.Refusal{Code: muxer.CodeTooManyPeers, Remote: true}
			peerRests = peerRests || proven
			w.did("no place", "%s", id)
		case 1:
			err = &handshake.Refusal{Code: muxer.CodeDuplicate, Remote: true}
			peerRests = peerRests || proven
		case 2:
			if w.rng.IntN(4) == 0 {
				err, proven, quarantined = otherNetwork(id), true, true
				w.did("quarantine", "%s", id)
				break
			}
			fallthrough
		case 3:
			err = &handshake.Refusal{Code: muxer.CodeShuttingDown}
			peerRests = peerRests || proven
		case 4: // anybody can say so
			err = handshake.Fail(handshake.StageTransport, muxer.CodeIncompatible, errors.New("x"))
			peerFails = peerFails || proven
			count[a] = true
		default:
			err = errUnreachable
			peerFails = peerFails || proven
			count[a] = true
		}
		if proven {
			err = proving(id, err)
		} else if d.lost {
			delete(count, a)
		}
		failures = append(failures, DialFailure{a, err})
	}
	w.m.DialFailed(id, failures)
	delete(w.dials, id)
	rec, still := w.m.store.Get(id)
	w.did("dial failed", "%s %v", id, count)
	if !known {
		return
	}
	linked := w.of(id, "current") != nil
	if !still {
		if w.exempt(id) || linked || len(before.Addresses) > 0 {
			w.fatal("%s was forgotten after %d failures", id, before.Failures)
		}
		w.forget(id)
		return
	}
	most := w.cfg.MaxBackoff
	switch {
	case rec.Trusted:
		most = w.cfg.MaxTrustedBackoff
	case !rec.LastConnected.IsZero() && now.Sub(rec.LastConnected) < 24*time.Hour:
		most = min(most, w.m.cfg.MaxRecentBackoff)
	}
	// counted is the number of failures in a row after one more, and the least backoff that follows.
	counted := func(before uint32) (uint32, time.Duration) {
		n, want := before+1, before+1
		if len(w.links) == 0 {
			n = min(n, isolatedFailures)
			want = max(before, n)
		}
		if !rec.LastConnected.IsZero() && now.Sub(rec.LastDisconnected) < 10*time.Minute && n > 6 {
			n = 6 // it may be restarting
			want = max(before, n)
		}
		low := most * 3 / 4
		if n < 30 {
			low = min(w.cfg.MinBackoff<<(n-1), low)
		}
		return want, low
	}
	for i, a := range rec.Addresses {
		old := before.Addresses[i]
		want, low := old.Failures, time.Duration(0)
		if count[a.Address] {
			want, low = counted(old.Failures)
		}
		if a.Failures != want || count[a.Address] && a.NotBefore.Before(now.Add(low)) ||
			a.NotBefore.After(later(old.NotBefore, now.Add(most))) {
			w.fatal("%s: %+v after %+v", id, a, old)
		}
	}
	want, low := before.Failures, time.Duration(0)
	if peerFails && !linked {
		want, low = counted(before.Failures)
	}
	if !peerFails && !peerRests && !linked && len(count) > 0 && bestFailures(&rec) > before.Failures {
		want++
	}
	if rec.Failures != want || rec.NotBefore.Before(now.Add(low)) && low > 0 {
		w.fatal("%s has %d failures after %d, and rests %s", id, rec.Failures, before.Failures, rec.NotBefore.Sub(now))
	}
	if rec.NotBefore.After(later(before.NotBefore, now.Add(most))) ||
		!peerFails && !peerRests && !rec.NotBefore.Equal(before.NotBefore) {
		w.fatal("%s rests %s", id, rec.NotBefore.Sub(now))
	}
	if !quarantined && !rec.Quarantined.Equal(before.Quarantined) || quarantined &&
		(rec.Quarantined.Before(now.Add(min(w.cfg.Quarantine, w.cfg.MaxTrustedBackoff))) ||
			rec.Quarantined.After(later(before.Quarantined, now.Add(w.cfg.Quarantine)))) {
		w.fatal("%s is in quarantine until %s", id, rec.Quarantined)
	}
}

// forget is what the model does when the store has dropped a peer.
func (w *model) forget(id transport.NodeID) {
	delete(w.score, id)
	delete(w.since, id)
}
