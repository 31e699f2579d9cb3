package peers

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// movable says that a link may be replaced now.
func (w *model) movable(l *modelLink) bool {
	return l != nil && l.role == "current" && !l.evict && !l.ready.IsZero() && w.of(l.id, "standby") == nil &&
		w.of(l.id, "leaving") == nil
}

// stepMove is a remote that replaces a link: one that it may replace, or another one.
func (w *model) stepMove() {
	l := w.anyLink()
	if l == nil {
		return
	}
	ip := l.ip
	if w.rng.IntN(4) == 0 {
		ip, _ = w.addr(l.id, w.rng.IntN(3)).IP()
	}
	num := l.num
	if w.rng.IntN(10) == 0 {
		num = NoLink
	}
	w.arriveMove(l.id, num, muxer.Listener, ip, transport.Address{})
}

// beginMove takes note of a dial that is to replace a link.
func (w *model) beginMove(d Dial) {
	c := w.of(d.ID, "current")
	if !w.movable(c) || c.num != d.Replaces || !c.moves || w.dials[d.ID] != nil || d.Upgrade || d.Feeler ||
		len(d.Addresses) == 0 {
		w.fatal("moves %+v, of %+v", d, c)
	}
	for _, a := range d.Addresses {
		if ip, _ := a.IP(); w.banned(d.ID, ip) || ip != c.ip && !w.exempt(d.ID) && w.full(ip) != "" {
			w.fatal("moves to %s", a)
		}
	}
	soonest := c.ready.Add(moveSoon / 2)
	if c.side == muxer.Listener {
		soonest = c.ready.Add(moveLater / 2)
	}
	if time.Now().Before(soonest) {
		w.fatal("moves %+v %s after it came up", *c, time.Since(c.ready))
	}
	w.dials[d.ID] = &modelDial{free: true, moves: d.Replaces, addrs: d.Addresses}
	w.did("move", "link %d of %s", d.Replaces, d.ID)
}

// moveEnds ends the dial of a move.
func (w *model) moveEnds(id transport.NodeID, d *modelDial) {
	if w.rng.IntN(3) > 0 {
		ip, _ := d.addrs[0].IP()
		w.arriveMove(id, d.moves, muxer.Dialer, ip, d.addrs[0])
		return
	}
	before, _ := w.m.store.Get(id)
	err := []error{errUnreachable, &handshake.Refusal{Code: muxer.CodeDuplicate, Remote: true},
		handshake.Fail(handshake.StageSecurity, muxer.CodeWrongID, errUnreachable)}[w.rng.IntN(3)]
	w.m.DialFailed(id, []DialFailure{{d.addrs[0], err}})
	delete(w.dials, id)
	rec, _ := w.m.store.Get(id)
	if before.Busy = rec.Busy; !reflect.DeepEqual(before, rec) {
		w.fatal("a failed move makes %+v of %+v", rec, before)
	}
	w.did("move failed", "%s", id)
}

// arriveMove is a link that is to replace another one.
func (w *model) arriveMove(id transport.NodeID, num uint64, side muxer.Side, ip netip.Addr, dialed transport.Address) {
	w.next++
	c, d := w.of(id, "current"), w.dials[id]
	want := ""
	switch {
	case w.banned(id, ip):
		want = "banned"
	case !w.movable(c) || c.num != num || c.guest,
		side == muxer.Listener && d != nil && d.moves != 0 && pmSelf < id:
		want = "duplicate"
	case ip != c.ip && !w.exempt(id):
		want = w.full(ip)
	}
	if side == muxer.Dialer {
		delete(w.dials, id)
	}
	before, _ := w.m.store.Get(id)
	got := w.reasonOf(w.m.Arrived(Arrival{ID: id, Side: side, Dialed: dialed, IP: ip, LinkID: w.next, Confirms: true,
		Replaces: num}))
	if got != want {
		w.fatal("link %d of %s, in place of %d (%v): %q, want %q", w.next, id, num, side, got, want)
	}
	if got != "" {
		rec, _ := w.m.store.Get(id)
		if before.Busy = rec.Busy; !reflect.DeepEqual(before, rec) {
			w.fatal("a refused move makes %+v of %+v", rec, before)
		}
		w.did("move refused", "link %d of %s: %s", num, id, got)
		w.settleEntries()
		return
	}
	w.links = append(w.links, &modelLink{num: w.next, id: id, side: c.side, confirms: true, ip: ip,
		arrived: time.Now(), role: "standby", lent: true, replaces: c})
	w.did("move arrives", "link %d of %s", w.next, id)
}

// takeOver lets a link that replaces another one take over, if it still may.
func (w *model) takeOver(l *modelLink) {
	old := l.replaces
	may := l.role == "standby" && old.role == "current" && !old.evict && !l.evict
	preferred, extra := w.m.Established(l.id, l.num)
	if preferred != may || (extra != nil) != may || may &&
		(extra.LinkID != old.num || extra.Reason.Code != muxer.CodeMoved) {
		w.fatal("link %d of %s is established: %v, closes %+v; may %v", l.num, l.id, preferred, extra, may)
	}
	if !may {
		return
	}
	l.replaces, l.role, l.lent, l.established, l.moved = nil, "current", false, true, true
	l.free, l.entry, l.useful, l.latency, l.ready = old.free, old.entry, old.useful, old.latency, old.ready
	l.peering = old.peering
	old.role, old.evict, old.handed, old.entry = "leaving", true, true, false
	if !w.m.Ready(l.id, l.num, old.peering, []byte{1}) {
		w.fatal("link %d of %s does not come up", l.num, l.id)
	}
	w.using[l.id] = l.num
	w.settleEntries()
	w.did("moved", "link %d of %s", l.num, l.id)
}
