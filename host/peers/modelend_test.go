package peers

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The ends of links in the model: evictions, requests, misdeeds and bans.

func (w *model) stepEvict() {
	e, ok := w.m.TryEvictNext()
	var want *modelLink
	for want == nil && len(w.evicts) > 0 {
		for _, l := range w.links {
			if l.num == w.evicts[0] && !l.handed {
				want = l
			}
		}
		w.evicts = w.evicts[1:]
	}
	if (want != nil) != ok {
		w.fatal("eviction %+v %v, want %+v", e, ok, want) // nothing ever goes beyond capacity here
	}
	if !ok {
		return
	}
	if e.LinkID != want.num || e.ID != want.id || e.Reason.Code != want.why {
		w.fatal("eviction %+v, want %+v", e, *want)
	}
	w.did("evict "+want.why.String(), "link %d of %s", want.num, want.id)
	want.handed = true
	if w.rng.IntN(3) > 0 {
		w.disconnect(want, e.Reason.Code)
	}
}

func (w *model) request(id transport.NodeID, code muxer.Code) {
	for _, role := range []string{"current", "standby"} {
		if l := w.of(id, role); l != nil && !l.evict {
			l.evict, l.why = true, code
			w.evicts = append(w.evicts, l.num)
		}
	}
}

func (w *model) stepRequest() {
	id := w.pick()
	w.m.Manager.Disconnect(id, nil)
	w.request(id, muxer.CodeRequested)
	w.did("request", "%s", id)
}

func (w *model) stepReport() {
	id := w.pick()
	if w.rng.IntN(8) == 0 {
		id = transport.NodeID(fmt.Sprintf("77%038x", w.rng.IntN(1000))) // unknown
	}
	b := Behaviour{Points: w.rng.IntN(61) - 20}
	if w.calm && w.m.peers[id] == nil {
		b.Points = 60 // may earn it an upgrade
	}
	if w.rng.IntN(20) == 0 {
		b.Points = []int{1 << 30, -1 << 30, math.MaxInt, math.MinInt}[w.rng.IntN(4)]
	}
	if w.rng.IntN(6) == 0 {
		b.Severity = Severity(w.rng.IntN(4))
	}
	w.report(id, b)
	if w.rng.IntN(40) == 0 { // all that come from one IP misbehave
		ip := netip.AddrFrom4([4]byte{9, 9, 9, byte(w.rng.IntN(2))})
		for range 6 {
			if id := w.pick(); !w.dead(id) {
				w.arrive(id, muxer.Listener, nil, ip, transport.Address{})
			}
		}
		for _, other := range slices.Clone(w.links) {
			if other.ip == ip {
				w.report(other.id, Behaviour{Severity: Ban})
				w.disconnect(other, muxer.CodeBanned)
			}
		}
		for range 6 {
			if id := w.pick(); !w.dead(id) {
				if w.m.peers[id] == nil && !w.exempt(id) { // it is new
					w.m.store.Remove(id)
					w.forget(id)
				}
				w.arrive(id, muxer.Listener, nil, ip, transport.Address{})
			}
		}
	}
}

func (w *model) report(id transport.NodeID, b Behaviour) {
	_, known := w.m.store.Get(id)
	w.m.Report(id, b)
	w.did("report", "%s %+v", id, b)
	if !known {
		return
	}
	points := b.Points
	if b.Severity > Log && points > 0 {
		points = -points
	}
	if b.Severity > Log && points == 0 {
		points = []int{0, -penalty, -disconnectPenalty, -banPenalty}[b.Severity]
	}
	l := w.of(id, "current")
	if l != nil && l.side == muxer.Listener {
		w.addScore(id, min(points, max(0, upgradeMargin-1-w.scoreOf(id))))
	} else {
		w.addScore(id, points)
	}
	if l != nil {
		l.useful = min(l.useful+min(max(points, 0), 1000), 1<<30)
		if w.rng.IntN(2) == 0 {
			l.latency = time.Duration(1+w.rng.IntN(5)) * time.Millisecond
			w.m.SetLatency(id, l.latency)
		}
	}
	if b.Severity > Log {
		w.misdeed(id, -max(points, -1000), b.Severity)
	}
}

// misdeed is the reference for what misdeeds lead to.
func (w *model) misdeed(id transport.NodeID, points int, s Severity) {
	if w.sins[string(id)].until.After(time.Now()) {
		return
	}
	sum := w.sin(string(id), points)
	switch {
	case !w.exempt(id) && (s == Ban || sum >= banAt):
		l := w.of(id, "current")
		w.sentence(peerstore.Target{ID: id}, 24*time.Hour)
		w.did("banned for its misdeeds", "%s", id)
		if l == nil || !l.ip.IsValid() || l.ip.IsLoopback() {
			return
		}
		w.sin(netip.PrefixFrom(l.ip, 32).String(), ipPoints)
	case s >= Disconnect, sum >= disconnectAt:
		w.request(id, muxer.CodeMisbehaved)
	}
}

// sin adds points, which go one at a time.
func (w *model) sin(key string, points int) int {
	s := w.sins[key]
	for s.points > 0 && time.Since(s.since) >= scoreStep {
		s.points--
		s.since = s.since.Add(scoreStep)
	}
	if s.points == 0 {
		s.since = time.Now()
	}
	s.points = min(s.points+points, banAt)
	w.sins[key] = s
	return s.points
}

// sentence bans a target, each time for twice as long, and ends the links that match.
func (w *model) sentence(t peerstore.Target, length time.Duration) {
	key := string(t.ID)
	if key == "" {
		key = t.Prefix.String()
	}
	s := w.sins[key]
	if time.Since(s.until) > 30*24*time.Hour {
		s.bans = 0
	}
	for range s.bans {
		length = min(2*length, 30*24*time.Hour)
	}
	s.points, s.bans, s.until = 0, s.bans+1, time.Now().Add(length)
	w.sins[key], w.bans[t] = s, s.until
	w.requestAll(t)
}

func (w *model) stepBan() {
	target := peerstore.Target{ID: w.pick()}
	if w.rng.IntN(4) == 0 {
		ip, _ := w.addr(w.pick(), 0).IP()
		target = peerstore.Target{Prefix: netip.PrefixFrom(ip, 32)}
	}
	if len(w.bans) > 0 && w.rng.IntN(2) == 0 { // lift one
		targets := slices.SortedFunc(maps.Keys(w.bans), func(a, b peerstore.Target) int {
			return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
		})
		target = targets[w.rng.IntN(len(targets))]
		if _, err := w.m.Unban(target); err != nil {
			w.fatal("%v", err)
		}
		delete(w.bans, target)
		delete(w.sins, string(target.ID))
		if target.ID == "" {
			delete(w.sins, target.Prefix.String())
		}
		w.did("unban", "%+v", target)
		return
	}
	until := time.Now().Add(time.Duration(1+w.rng.IntN(3600)) * time.Second)
	if err := w.m.Ban(target, until, "test"); err != nil {
		w.fatal("%v", err)
	}
	w.bans[target] = until
	w.did("ban", "%+v", target)
	w.requestAll(target)
}

// requestAll asks for the end of all links that a ban matches.
func (w *model) requestAll(target peerstore.Target) {
	ids := slices.Clone(w.ids)
	slices.Sort(ids)
	for _, id := range ids {
		match := id == target.ID
		for _, l := range w.links {
			match = match || l.id == id && target.Prefix.IsValid() && l.ip.IsValid() && target.Prefix.Contains(l.ip)
		}
		if match {
			w.request(id, muxer.CodeBanned)
		}
	}
}
