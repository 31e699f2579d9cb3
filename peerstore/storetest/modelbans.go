package storetest

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// The operations of the model test on bans.

func (m *inputs) target() peerstore.Target {
	if m.m.IntN(2) == 0 {
		return peerstore.Target{ID: m.id()}
	}
	ip, ok := m.address().IP()
	if !ok {
		return peerstore.Target{ID: m.id()}
	}
	bits := ip.BitLen() - m.m.IntN(5)
	if m.m.IntN(10) == 0 {
		bits = m.m.IntN(ip.BitLen() + 1) // up to everybody
	}
	p, _ := ip.Prefix(bits)
	return peerstore.Target{Prefix: p}
}

// banTargets returns the model's ban targets in an order that does not change from run to run.
func (m *rules) banTargets() []peerstore.Target {
	all := make([]peerstore.Target, 0, len(m.bans))
	for t := range m.bans {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b peerstore.Target) int { return strings.Compare(a.String(), b.String()) })
	return all
}

func (m *model) ban() {
	target := m.target()
	if all := m.banTargets(); len(all) > 0 && m.m.IntN(3) == 0 { // for longer, or for less
		target = all[m.m.IntN(len(all))]
	}
	b := peerstore.Ban{Target: target, Since: m.now, Until: m.now.Add(time.Duration(m.m.IntN(1000)+1) * time.Second),
		Reason: strconv.Itoa(m.m.Int())}
	switch m.m.IntN(12) {
	case 0:
		b.Until = time.Time{}
	case 1:
		b.Until = m.now.Add(-time.Second)
	case 2:
		b.Until = m.now.Add(time.Duration(m.m.IntN(100)) * time.Hour)
	}
	m.op = "Ban " + b.Target.String()
	held, forever := 0, 0
	var first *peerstore.Ban // the next to end
	for _, t := range m.banTargets() {
		o := m.bans[t]
		if !m.holds(&o) {
			if !o.Until.After(m.told) { // the store has not been told yet that the others have ended
				delete(m.bans, t)
			}
			continue
		}
		held++
		if o.Until.IsZero() {
			forever++
		} else if first == nil || o.Until.Before(first.Until) {
			first = &o
		}
	}
	_, known := m.bans[b.Target]
	err := m.s.Ban(b)
	full := !known && held == m.limits.MaxBans
	if full && first == nil {
		if !errors.Is(err, peerstore.ErrTooManyBans) {
			m.fatalf("%v, with %d bans for ever", err, forever)
		}
		m.did("too many bans")
		return
	}
	if err != nil {
		m.fatalf("%v", err)
	}
	if full {
		delete(m.bans, first.Target)
		m.did("ban makes room")
	}
	m.bans[b.Target] = b
	for id, r := range m.peers {
		if m.barred(r) {
			m.hidden[id] = true
		}
	}
	m.did("banned")
	m.checkBans()
}

func (m *model) unban() {
	t := m.target()
	if all := m.banTargets(); len(all) > 0 && m.m.IntN(3) > 0 {
		t = all[m.m.IntN(len(all))]
	}
	m.op = "Unban " + t.String()
	b, known := m.bans[t]
	was, err := m.s.Unban(t)
	if err != nil || was && !known || !was && known && m.holds(&b) {
		m.fatalf("it said %v %v, want %v", was, err, known)
	}
	delete(m.bans, t)
	m.checkBans()
}

func (m *model) banned() {
	a := m.address()
	ip, _ := a.IP()
	m.op = "Banned " + a.String()
	b, got := m.s.Banned(a.ID(), ip, m.now)
	end := m.banEnd(a.ID(), ip)
	if got == end.IsZero() || got &&
		(b.Until.IsZero() != end.Equal(forever) || !b.Until.IsZero() && !b.Until.Equal(end) ||
			m.bans[b.Target].Reason != b.Reason) {
		m.fatalf("%v %+v, want an end at %v", got, b, end)
	}
}
