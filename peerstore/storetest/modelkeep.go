package storetest

import (
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/switchyard-p2p/switchyard/peerstore"
)

// The operations of the model test on what persists.

func (m *model) flush() {
	m.op = "Flush"
	if err := m.s.Flush(context.Background()); err != nil {
		m.fatalf("%v", err)
	}
	m.flushed()
}

// flushed notes that everything is persisted as it is.
func (m *model) flushed() {
	m.saved, m.savedValues = maps.Clone(m.peers), maps.Clone(m.meta)
	m.since, m.sinceValues = maps.Clone(m.quiet), make(map[string][]string)
}

// flagged notes that an operator's flag changed, which is persisted at once.
func (m *model) flagged(old, r *peerstore.Record) {
	if r.Trusted != old.Trusted || r.Unconditional != old.Unconditional || r.Private != old.Private {
		m.saved[r.ID] = m.peers[r.ID]
		delete(m.since, r.ID)
	}
}

// reopen closes the store and opens it again, or ends it as a kill would, and checks that nothing is lost.
func (m *model) reopen() {
	m.told = m.now
	if m.f.Crash != nil && m.m.IntN(2) == 0 {
		m.op = "a crash"
		m.s = m.f.Crash(m.t, m.s, m.now)
		m.crashed()
	} else {
		m.op = "reopening"
		m.s = m.f.Reopen(m.t, m.s, m.now)
	}
	for id, states := range m.quiet {
		for _, r := range states {
			if got, _ := m.s.Get(id); Equal(*m.idle(r), got) {
				m.peers[id] = r
			}
		}
	}
	clear(m.quiet)
	m.did(m.op)
	m.linked = nil
	clear(m.hidden)
	clear(m.missed)
	clear(m.worked)
	for id, r := range m.peers {
		r = m.idle(r)
		m.peers[id] = r
		if m.barred(r) {
			m.hidden[id] = true
		}
	}
	loaded, saved, since := maps.Clone(m.peers), m.saved, m.since
	m.check(true)
	m.flushed()
	for id, r := range loaded {
		if m.peers[id] == nil { // left out while the store opened, which is not persisted
			m.saved[id] = saved[id]
			m.since[id] = append(since[id], r, nil)
		}
	}
	if m.f.Copy != nil && m.m.IntN(8) == 0 {
		m.op = "a copy"
		m.copied()
		m.did(m.op)
	}
}

// alikeOnDisk reports whether a record differs from the one before only by what need not be persisted: whether it is
// busy, and failures like those before.
func alikeOnDisk(old, r *peerstore.Record) bool {
	o := *old
	o.Busy, o.Addresses = r.Busy, slices.Clone(old.Addresses)
	if o.Failures >= 5 && r.Failures > o.Failures {
		o.Failures, o.NotBefore = r.Failures, r.NotBefore
	}
	for i := range o.Addresses {
		if a := &o.Addresses[i]; i < len(r.Addresses) && a.Failures >= 5 && r.Addresses[i].Failures > a.Failures {
			b := &r.Addresses[i]
			a.Failures, a.LastDialed, a.NotBefore = b.Failures, b.LastDialed, b.NotBefore
		}
	}
	return Equal(o, *r)
}

// idle returns a record as it is after a start: nothing is configured yet.
func (m *rules) idle(r *peerstore.Record) *peerstore.Record {
	c := *r
	c.Busy = false
	c.Addresses = slices.Clone(r.Addresses)
	for i := range c.Addresses {
		if a := &c.Addresses[i]; a.Source.Configured() {
			a.Source.Kind = peerstore.SourceOperator
		}
	}
	return m.bounded(r.ID, c)
}

// crashed takes over what a crash has left: of each peer and value any state since it was last persisted. Bans are
// exact.
func (m *model) crashed() {
	ids := maps.Clone(m.saved)
	for id := range m.since {
		ids[id] = nil
	}
	for id := range ids {
		states := append([]*peerstore.Record{m.saved[id]}, m.since[id]...)
		got, ok := m.s.Get(id)
		if !ok {
			if !slices.Contains(states, nil) {
				m.peers[id] = slices.MinFunc(states, byWorth) // check says whether it might go in one of them
				continue
			}
			delete(m.peers, id)
			continue
		}
		at := slices.IndexFunc(states, func(r *peerstore.Record) bool { return r != nil && Equal(*m.idle(r), got) })
		if at < 0 {
			m.fatalf("%s is\n%+v, flushed as\n%+v", id.Short(), got, m.saved[id])
		}
		m.peers[id] = states[at]
	}
	for key := range 4 {
		k := "key" + strconv.Itoa(key)
		got := string(m.s.Meta(k))
		if got != m.savedValues[k] && !slices.Contains(m.sinceValues[k], got) {
			m.fatalf("%s is %q, flushed as %q", k, got, m.savedValues[k])
		}
		delete(m.meta, k)
		if got != "" {
			m.meta[k] = got
		}
	}
}

// copied compares the store with one that was made by exporting and importing it.
func (m *model) copied() {
	other := m.f.Copy(m.t, m.s, m.w.limits, m.now)
	if got, want := len(other.Bans(m.now)), len(m.s.Bans(m.now)); got != want {
		m.fatalf("%d bans of %d", got, want)
	}
	for _, b := range other.Bans(m.now) {
		if want := m.bans[b.Target]; want.Reason != b.Reason || !want.Until.Equal(b.Until) {
			m.fatalf("%+v, want %+v", b, want)
		}
	}
	for id, r := range m.peers {
		r = m.idle(r)
		r.Addresses = withoutFalse(r.Addresses) // an import tells what worked of all at once
		if len(r.Addresses) == 0 || len(m.peers) > m.limits.MaxPeers || m.w.crowded ||
			slices.ContainsFunc(r.Addresses, func(a peerstore.AddressRecord) bool {
				return foreign(a.Address, a.Source.IP)
			}) {
			continue // it need not be taken
		}
		got, ok := other.Get(id)
		if !ok || got.Score != r.Score || got.Height != r.Height || got.Private != r.Private ||
			!got.Quarantined.Equal(r.Quarantined) || got.Trusted ||
			!got.FirstSeen.Equal(r.FirstSeen) || len(got.Addresses) != len(r.Addresses) {
			m.fatalf("%+v, want %+v", got, *r)
		}
		for i, a := range got.Addresses {
			if o := r.Addresses[i]; a.Address != o.Address || a.Source != o.Source ||
				!a.LastSuccess.Equal(earliest(o.LastSuccess, m.now)) {
				m.fatalf("%+v, want %+v", a, o)
			}
		}
	}
	if err := other.Close(); err != nil {
		m.fatalf("%v", err)
	}
}
