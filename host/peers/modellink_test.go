package peers

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// dead peers never answer.
func (w *model) dead(id transport.NodeID) bool { return id == w.ids[4] || id == w.ids[5] }

// plain peers are mostly guests.
func (w *model) plain(id transport.NodeID) bool { return id == w.ids[6] || id == w.ids[7] }

func (w *model) stepAccept() {
	id := w.pick()
	if w.rng.IntN(2) == 0 { // most of what is interesting happens while there is a dial, or another link
		if len(w.dials) > 0 {
			ids := slices.Sorted(maps.Keys(w.dials))
			id = ids[w.rng.IntN(len(ids))]
		} else if l := w.anyLink(); l != nil {
			id = l.id
		}
	}
	if w.dead(id) {
		return
	}
	ip, _ := w.addr(id, 0).IP()
	switch w.rng.IntN(5) {
	case 0:
		ip = netip.MustParseAddr("127.0.0.1")
	case 1:
		ip = netip.Addr{}
	case 2: // where many come from
		ip = netip.AddrFrom4([4]byte{9, 9, 9, byte(w.rng.IntN(2))})
	}
	w.arrive(id, muxer.Listener, nil, ip, transport.Address{})
}

// full says which limit on connections an IP has reached.
func (w *model) full(ip netip.Addr) string {
	if !ip.IsValid() || ip.IsLoopback() {
		return ""
	}
	same, group := 0, 0
	for _, l := range w.links {
		if l.ip == ip {
			same++
		}
		if l.ip.IsValid() && !l.ip.IsLoopback() && transport.IPGroup(l.ip) == transport.IPGroup(ip) {
			group++
		}
	}
	switch {
	case same >= w.cfg.ConnectionsPerIP:
		return "per ip"
	case group >= w.cfg.ConnectionsPerGroup:
		return "per group"
	}
	return ""
}

// newcomersAt counts the links of new peers from an IP.
func (w *model) newcomersAt(ip netip.Addr) (n int) {
	for _, l := range w.links {
		if l.newcomer && l.ip == ip && time.Since(l.arrived) < newFor {
			n++
		}
	}
	return n
}

func (w *model) settled(l *modelLink) bool {
	return l.established || time.Since(l.arrived) >= simultaneity
}

// lowerDialed says that the lower node id dialed the link.
func lowerDialed(l *modelLink) bool {
	if l.side == muxer.Dialer {
		return pmSelf < l.id
	}
	return l.id < pmSelf
}

func (w *model) arrive(id transport.NodeID, side muxer.Side, d *modelDial, ip netip.Addr, addr transport.Address) {
	w.next++
	a := Arrival{ID: id, LinkID: w.next, IP: ip, Dialed: addr, Confirms: w.rng.IntN(2) == 0,
		Guest: (w.rng.IntN(10) == 0) != w.plain(id)}
	l := &modelLink{num: w.next, id: id, side: side, confirms: a.Confirms, guest: a.Guest, ip: ip, arrived: time.Now(),
		role: "current", peering: w.next}
	if l.moves = !a.Guest && w.rng.IntN(2) == 0; l.moves {
		a.MoveTo = []transport.Address{w.addr(id, 2)}
	}
	asked := d != nil && d.requested
	l.free = w.exempt(id) || asked && !a.Guest
	l.called = asked && a.Guest && !l.free
	delete(w.dials, id)
	if d == nil && side == muxer.Listener { // an inbound link does not end a dial
		if w.m.peers[id] != nil && w.m.peers[id].dial != nil {
			pd := w.m.peers[id].dial
			w.dials[id] = &modelDial{requested: pd.requested, free: pd.slot == slotTrusted, lost: !pd.lost.IsZero(),
				upgrade: pd.slot == slotUpgrade,
				feeler:  pd.slot == slotFeeler, addrs: w.pending(id)}
			if pd.moves != nil {
				w.dials[id].free, w.dials[id].moves = true, pd.moves.id
			}
		}
	}
	if d != nil && d.feeler {
		w.feel(a)
		return
	}
	c, s := w.of(id, "current"), w.of(id, "standby")
	in := w.inbound()
	own := 0 // slots that its own leaving links give up
	for _, o := range []*modelLink{c, s} {
		if c != nil && c.evict && o != nil && (o.side == side || l.guest) && o.guest == l.guest && !o.free &&
			o.called == l.called && !o.lent && !o.entry {
			own++
		}
	}
	// The remote dials although we have a link that it had taken for its only one, and not only just: it does not have
	// that any more.
	redialed := c != nil && s == nil && !c.evict && side == muxer.Listener && !(c.guest && l.guest) && w.settled(c) &&
		time.Since(c.arrived) > map[bool]time.Duration{false: 5 * time.Second, true: 15 * time.Second}[c.confirms]
	// both have the same budget
	lends := redialed && !c.entry && (c.free && l.free || !c.free && !l.free && c.side == side && c.guest == l.guest)
	if lends {
		own = 1
	}
	// A guest uses two links, which share a slot.
	shares := c != nil && s == nil && !c.evict && c.guest && l.guest
	want := ""
	full := w.full(ip)
	rec, _ := w.m.store.Get(id)
	l.newcomer = side == muxer.Listener && rec.LastConnected.IsZero()
	suspect := l.newcomer && w.newcomersAt(ip) >= newcomers && w.sin(netip.PrefixFrom(ip, 32).String(), 0) >= suspectAt
	switch {
	case w.banned(id, ip):
		want = "banned"
	case full != "" && !w.exempt(id) && !asked:
		want = full
	case suspect && !w.exempt(id) && !asked:
		want = "suspect IP"
	case shares:
		l.lent, l.called = true, false
	case c != nil && !c.evict && !redialed && (w.settled(c) || s != nil):
		want = "duplicate"
	case c != nil && !c.evict && !redialed && c.confirms && l.confirms && pmSelf < id:
		want = "duplicate"
	case l.free:
	case l.called:
		if w.called()-own >= w.cfg.DialedGuests {
			want = "full dialed guests"
		}
	case l.guest && side == muxer.Dialer && !asked:
		want = "not ours"
	case side == muxer.Listener || l.guest:
		full := in-w.entries(false)-own >= w.cfg.MaxInbound
		if l.guest {
			full = w.guests()-w.entries(true)-own >= w.cfg.Guests
		}
		switch {
		case full && c == nil && w.entries(true)+w.entries(false) < w.cfg.MaxUpgrades &&
			len(w.open(l.guest, w.crowd(l.guest, w.m.groupOf(ip))+1)) > 0:
			l.entry = true
		case full:
			want = map[bool]string{true: "full guests", false: "full inbound"}[l.guest]
		}
	}
	a.Side = side
	err := w.m.Arrived(a)
	got := w.reasonOf(err)
	if got == "full outbound" && want == "" && d != nil && d.free && !l.free { // it was trusted when it was dialed
		if links, dials := w.outbound(); links+dials-own >= w.cfg.MaxOutbound {
			want = got
		}
	}
	if got != want {
		w.fatal("link %d of %s (%v): %q (%v), want %q", l.num, id, side, got, err, want)
	}
	if got == "not ours" {
		rec, known := w.m.store.Get(id)
		if known && len(rec.Addresses) > 0 && !rec.Quarantined.After(time.Now()) && (c == nil || c.guest) {
			w.fatal("%s turned out to be a guest, and may be dialed again", id)
		}
	}
	if err != nil {
		w.did(got, "link %d of %s", l.num, id)
		w.settleEntries()
		return
	}
	if c != nil && c.evict {
		c.role, c.entry = "leaving", false
		if s != nil {
			s.role, s.entry = "leaving", false
		}
		c = nil
	}
	switch {
	case c == nil:
	case redialed:
		c.role, c.lent = "standby", lends
		w.did("redialed", "link %d of %s", l.num, id)
	case !w.settled(c) && l.side != c.side && lowerDialed(l):
		c.role = "standby"
		if shares { // the preferred one has the slot
			l.lent, c.lent = false, true
			l.entry, c.entry = c.entry, false
			l.free, c.free = c.free, false
			l.called, c.called = c.called, false
		}
		w.did("replaces", "link %d of %s", l.num, id)
	default:
		l.role = "standby"
		w.did("standby", "link %d of %s", l.num, id)
	}
	w.links = append(w.links, l)
	w.settleEntries()
	if l.entry {
		w.did("enters", "link %d of %s", l.num, id)
	}
	if l.guest {
		w.did("guest", "link %d of %s", l.num, id)
	}
	w.did(map[muxer.Side]string{muxer.Dialer: "dialed", muxer.Listener: "accepted"}[side], "link %d of %s", l.num, id)
}

// feel ends a feeler that has found its peer.
func (w *model) feel(a Arrival) {
	want := muxer.CodeInquiryDone
	if w.banned(a.ID, a.IP) {
		want = muxer.CodeBanned
	}
	err := w.m.Arrived(dialed(a))
	var d *DisconnectError
	if !errors.As(err, &d) || d.Code != want {
		w.fatal("feeler to %s: %v, want %s", a.ID, err, want)
	}
	rec, known := w.m.store.Get(a.ID)
	for _, r := range rec.Addresses {
		if works := r.LastSuccess.Equal(time.Now()); r.Address == a.Dialed &&
			works != (want == muxer.CodeInquiryDone && !a.Guest) {
			w.fatal("%s has worked: %v, guest %v, %s", r.Address, works, a.Guest, want)
		}
	}
	if known && a.Guest && len(rec.Addresses) > 0 && w.of(a.ID, "current") == nil && !w.exempt(a.ID) &&
		!rec.Quarantined.After(time.Now()) {
		w.fatal("%s turned out to be a guest, and may be dialed again", a.ID)
	}
	w.did("feeler works", "%s", a.ID)
}

// pending are the addresses of the dial in progress: the model keeps them itself, this is only for a dial that an
// inbound link overlaps.
func (w *model) pending(id transport.NodeID) []transport.Address {
	return []transport.Address{w.addr(id, 0)}
}

func (w *model) reasonOf(err error) string {
	if err == nil {
		return ""
	}
	var d *DisconnectError
	if !errors.As(err, &d) {
		w.fatal("untyped error %v", err)
	}
	switch {
	case d.Code == muxer.CodeBanned:
		return "banned"
	case d.Code == muxer.CodeDuplicate:
		return "duplicate"
	case d.Limit == "peers.max_inbound":
		return "full inbound"
	case d.Limit == "peers.guests":
		return "full guests"
	case d.Limit == "peers.dialed_guests":
		return "full dialed guests"
	case d.Code == muxer.CodeIncompatible && d.Reason == whyGuest:
		return "not ours"
	case d.Limit == "peers.max_outbound":
		return "full outbound"
	case d.Limit == "peers.shared_networks":
		return "suspect IP"
	case d.Limit == "limits.connections_per_ip":
		return "per ip"
	case d.Limit == "limits.connections_per_group":
		return "per group"
	}
	return err.Error()
}

func (w *model) stepReady() {
	if l := w.anyLink(); l != nil {
		if w.rng.IntN(8) > 0 {
			w.establish(l)
		}
		w.ready(l)
	}
}

func (w *model) ready(l *modelLink) {
	want := l.role == "current" && !l.evict && l.established
	var open []*modelLink
	if want && l.entry && l.ready.IsZero() {
		if open = w.open(l.guest, w.crowd(l.guest, w.m.groupOf(l.ip))); len(open) == 0 {
			want = false
			w.request(l.id, muxer.CodeTooManyPeers)
			w.did("entered too late", "link %d of %s", l.num, l.id)
		}
	}
	upgrade := l.ready.IsZero() && w.m.links[l.num].slot == slotUpgrade
	got := w.m.Ready(l.id, l.num, l.peering, []byte{1})
	if want && upgrade && !got { // nobody makes room any more
		want = false
		w.request(l.id, muxer.CodeTooManyPeers)
		w.did("no victim", "link %d of %s", l.num, l.id)
	}
	if got != want {
		w.fatal("link %d of %s ready: %v", l.num, l.id, got)
	}
	if !want {
		return
	}
	w.did("ready", "link %d of %s", l.num, l.id)
	if l.ready.IsZero() {
		l.ready = time.Now()
	}
	w.up[l.id], w.using[l.id] = true, l.num
	w.learnEvictions(open)
}

// learnEvictions takes over what the manager has asked for by itself: the victims of upgrades, and upgrades without a
// victim; or one of those who may have to make room for an entry.
func (w *model) learnEvictions(open []*modelLink) {
	asked := map[transport.NodeID]bool{}
	defer func() {
		if open != nil && len(asked) != 1 {
			w.fatal("%v were asked to make room for an entry", asked)
		}
	}()
	for _, num := range w.m.evictor.queue {
		if slices.Contains(w.evicts, num) {
			continue
		}
		w.evicts = append(w.evicts, num)
		for _, l := range w.links {
			if l.num != num {
				continue
			}
			if open != nil {
				asked[l.id] = true
				// both links of a guest end
				if !slices.ContainsFunc(open, func(o *modelLink) bool { return o.id == l.id }) {
					w.fatal("it evicts %+v, which is not among those that may be", *l)
				}
				l.evict, l.why = true, w.m.links[num].reason.Code
				w.did("enters and evicts", "link %d of %s", l.num, l.id)
				continue
			}
			if l.free || l.evict || l.role == "current" &&
				(l.side != muxer.Dialer || l.ready.IsZero()) {
				w.fatal("an upgrade evicts %+v", *l)
			}
			l.evict, l.why = true, w.m.links[num].reason.Code
			what := "upgrade evicts"
			switch w.m.links[num].reason.Reason {
			case whyChurn:
				what = "churn evicts"
			case whyFound:
				what = "found evicts"
			}
			w.did(what, "link %d of %s", l.num, l.id)
		}
	}
}

func (w *model) stepEstablish() {
	if l := w.anyLink(); l != nil {
		w.establish(l)
	}
}

func (w *model) establish(l *modelLink) {
	if l.replaces != nil {
		w.takeOver(l)
		return
	}
	preferred := l.role == "current" && !l.evict
	l.established = l.established || !l.evict
	var want uint64
	if s := w.of(l.id, "standby"); preferred && s != nil {
		if s.guest && l.guest {
			w.did("guest uses two", "link %d of %s", s.num, s.id)
		} else {
			want = s.num
			s.role, s.evict, s.handed = "leaving", true, true
			s.entry = false
			w.did("established closes", "link %d of %s", s.num, s.id)
		}
	}
	is, extra := w.m.Established(l.id, l.num)
	got := uint64(0)
	if extra != nil {
		got = extra.LinkID
	}
	if got != want || is != preferred {
		w.fatal("link %d of %s is established, preferred %v, and closes %d, want %d", l.num, l.id, is, got, want)
	}
	w.settleEntries()
}

func (w *model) stepDown() {
	l := w.anyLink()
	if l == nil || w.calm && w.rng.IntN(8) > 0 {
		return
	}
	code := []muxer.Code{muxer.CodeRemoteClosed, muxer.CodeTransport, muxer.CodeTooManyPeers, muxer.CodeProtocolError,
		muxer.CodeDuplicate}[w.rng.IntN(5)]
	w.disconnect(l, code)
}

func (w *model) disconnect(l *modelLink, code muxer.Code) {
	w.links = slices.DeleteFunc(w.links, func(o *modelLink) bool { return o == l })
	var want uint64
	s := w.of(l.id, "standby")
	if l.role == "current" && s != nil {
		if s.replaces != nil && !s.evict { // services must learn that messages may be lost
			s.role, s.evict = "leaving", true
			w.did("move loses its link", "link %d of %s", l.num, l.id)
		} else if s.evict {
			s.role, s.entry = "leaving", false
		} else {
			s.role, want = "current", s.num
			w.did("promoted", "link %d of %s", s.num, s.id)
			if s.lent {
				s.lent, s.entry, s.free, s.called = false, l.entry, l.free, l.called
				w.did("redial fails", "link %d of %s", l.num, l.id)
			}
		}
	}
	if w.of(l.id, "current") == nil && w.of(l.id, "leaving") == nil && l.side == muxer.Dialer &&
		!l.ready.IsZero() && time.Since(l.ready) >= w.cfg.StableAfter &&
		(code == muxer.CodeRemoteClosed || code == muxer.CodeTransport) {
		w.lost[l.id] = time.Now()
	}
	before, known := w.m.store.Get(l.id)
	got, ready := w.m.Disconnected(l.id, l.num, &DisconnectError{Code: code})
	if got != want || ready != (want != 0 && s.established) {
		w.fatal("end of link %d of %s promotes %d (established: %v), want %d", l.num, l.id, got, ready, want)
	}
	w.did("down", "link %d of %s, %s", l.num, l.id, code)
	w.settleEntries()
	if w.using[l.id] == l.num {
		delete(w.using, l.id)
	}
	if w.using[l.id] == 0 {
		delete(w.up, l.id)
	}
	rec, still := w.m.store.Get(l.id)
	if !still {
		if known && w.exempt(l.id) {
			w.fatal("%s was forgotten", l.id)
		}
		w.forget(l.id)
		return
	}
	if w.of(l.id, "current") == nil && w.of(l.id, "leaving") == nil && known {
		if code == muxer.CodeProtocolError {
			w.addScore(l.id, -penalty)
		}
		stable := !l.ready.IsZero() && time.Since(l.ready) >= w.cfg.StableAfter
		switch {
		case stable && rec.Failures > 1, !stable && rec.Failures < before.Failures:
			w.fatal("%s: stable %v, %d failures after %d", l.id, stable, rec.Failures, before.Failures)
		case code == muxer.CodeShuttingDown: // we stop: nobody has to rest for it
		case rec.NotBefore.Before(time.Now().Add(w.cfg.MinBackoff)):
			w.fatal("%s rests %s", l.id, time.Until(rec.NotBefore))
		}
	}
}
