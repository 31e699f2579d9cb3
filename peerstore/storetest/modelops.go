package storetest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// The operations of the model test (dialing and advertising have files of their own). Each does the same to the store
// and to the model, and compares the results.

// do runs one operation, some time after the one before.
func (m *model) do() {
	switch k := m.m.IntN(3000); {
	case k == 0 && (!m.w.crowded || m.m.IntN(10) == 0):
		m.now = m.now.Add(time.Duration(30+m.m.IntN(60)) * 24 * time.Hour) // which costs nobody anything
		m.did("long pause")
	case k < 60:
		m.now = m.now.Add(time.Duration(m.m.IntN(6)) * time.Hour)
	default:
		m.now = m.now.Add(time.Duration(m.m.IntN(20_000)) * time.Millisecond)
	}
	if m.f.Reopen != nil && m.m.IntN(max(m.f.ReopenEvery, m.w.reopen)) == 0 {
		m.reopen()
		return
	}
	switch k := m.m.IntN(100); {
	case k < 27:
		m.add()
	case k < 42:
		m.update()
	case k < 47:
		m.ensure()
	case k < 50:
		m.remove()
	case k < 58:
		m.next(false)
	case k < 68:
		m.dial()
	case k < 71:
		m.feeler()
	case k < 80:
		m.dialEnds()
	case k < 84:
		m.nextDue()
	case k < 88:
		m.advertise()
	case k < 92:
		m.ban()
	case k < 95:
		m.unban()
	case k < 97:
		m.banned()
	case k < 98:
		m.flush()
	default:
		m.setMeta()
	}
}

// judged makes the store settle all decided contests of a crowded world. One may cost a peer its place; if that
// happened in the following call, that call would learn the peer anew.
func (m *model) judged() {
	if m.w.crowded {
		m.s.Feeler(m.now, peerstore.Query{})
		m.settle()
	}
}

func (m *model) add() {
	a := m.address()
	id := a.ID()
	source := m.source()
	m.op = fmt.Sprintf("Add %s (%+v)", a, source)
	m.judged()
	old, known := m.peers[id]
	m.told = m.now
	got := m.s.Add(a, source, m.now)
	var r peerstore.Record
	if known {
		r = *old
		r.Addresses = slices.Clone(r.Addresses)
	} else {
		r = peerstore.Record{ID: id, FirstSeen: m.now}
	}
	want, refusable := false, false
	at := slices.IndexFunc(r.Addresses, func(k peerstore.AddressRecord) bool { return k.Address == a })
	free := source.Configured() || known && r.Trusted
	fresh := peerstore.AddressRecord{Address: a, Source: kept(source), FirstHeard: m.now, LastHeard: m.now}
	switch {
	case at >= 0 && source.Configured() && !r.Addresses[at].Source.Configured():
		r.Addresses[at].Source, r.Addresses[at].LastHeard = kept(source), m.now
		m.set(&r)
	case at >= 0:
		if m.now.Sub(r.Addresses[at].LastHeard) >= 10*time.Minute {
			r.Addresses[at].LastHeard = m.now
			hidden := m.hidden[id]
			if m.set(&r); hidden { // the store leaves it where it was
				m.hidden[id] = true
			}
		}
	case !free && (m.bannedID(id) || m.bannedAddr(a)):
		m.did("refused: banned")
	case !free && foreign(a, source.IP):
		m.did("refused: means nothing there")
	default:
		refusable = m.w.crowded && len(r.Addresses) == 0 && m.overfull() && !source.Configured()
		if r.Addresses, want = m.fit(r.Addresses, fresh); !want {
			m.did("refused: enough addresses")
		}
	}
	if refusable && !got {
		m.did("refused: no place")
		return
	}
	if want {
		m.set(&r)
		m.settle()
		if m.peers[id] == nil {
			want = false // it was the one to go
			m.did("refused: worst of all")
		} else {
			m.did("added")
		}
	}
	if got != want {
		m.fatalf("it said %v, want %v", got, want)
	}
	if want {
		m.look(id)
	}
}

// change changes a record at random.
func (m *inputs) change(r *peerstore.Record) {
	switch m.m.IntN(16) {
	case 0:
		r.Trusted = m.m.IntN(3) == 0
	case 1:
		r.Unconditional = m.m.IntN(4) == 0
	case 2:
		r.Private = m.m.IntN(4) == 0
	case 3:
		r.Score = int16(m.m.IntN(300) - 150)
	case 4:
		r.Score += int16(m.m.IntN(2000)) // far beyond
	case 5:
		r.Busy = m.m.IntN(2) == 0
	case 6:
		r.NotBefore = m.soon()
		r.Failures++
	case 7:
		r.Quarantined = m.soon()
		r.QuarantineReason = strings.Repeat("wrong network ", m.m.IntN(12))
	case 8:
		r.LastConnected, r.Failures = m.now, 0
	case 9:
		r.Height, r.Scored = m.m.Uint64(), m.soon()
	case 10:
		r.LastDisconnected, r.FirstSeen = m.now, r.FirstSeen.Add(-time.Hour)
	case 11: // addresses of its own, of another node, twice the same, and too many
		for range 1 + m.m.IntN(5) {
			a := m.address()
			if m.m.IntN(3) > 0 {
				for n := range m.w.peers {
					if id, _, _ := nodeOf(n); id == r.ID {
						a = m.w.addressOf(n, m.m.IntN(modelAddresses))
						break
					}
				}
			}
			r.Addresses = append(r.Addresses,
				peerstore.AddressRecord{Address: a, Source: m.source(), FirstHeard: m.now, LastHeard: m.now,
					LastSuccess: m.soon()})
		}
	default:
		if len(r.Addresses) == 0 {
			return
		}
		i := m.m.IntN(len(r.Addresses))
		a := &r.Addresses[i]
		switch m.m.IntN(7) {
		case 0:
			a.LastSuccess, a.Failures = m.now, 0
		case 1:
			a.Failures += uint32(m.m.IntN(3))
			a.LastDialed, a.LastError = m.now, strings.Repeat("refused ", m.m.IntN(20))
		case 2, 3:
			a.NotBefore = m.soon()
		case 4:
			r.Addresses = slices.Delete(r.Addresses, i, i+1)
		case 5:
			a.Source, a.LastSuccess = m.source(), time.Time{}
		case 6:
			r.Addresses[0], r.Addresses[i] = r.Addresses[i], r.Addresses[0]
		}
	}
}

// updated returns a record as Update keeps it. Once an address works, those that never worked and are dead go.
func (m *model) updated(old *peerstore.Record, r peerstore.Record) *peerstore.Record {
	after := m.bounded(old.ID, r)
	if lastSuccess(after).After(lastSuccess(old)) {
		after.Addresses = withoutFalse(after.Addresses)
	}
	return after
}

// withoutFalse returns the addresses that remain once one of them has worked, if one has.
func withoutFalse(all []peerstore.AddressRecord) []peerstore.AddressRecord {
	if !slices.ContainsFunc(all, func(a peerstore.AddressRecord) bool { return !a.LastSuccess.IsZero() }) {
		return all
	}
	return slices.DeleteFunc(all, func(a peerstore.AddressRecord) bool {
		return a.LastSuccess.IsZero() && a.Failures >= 5 && !a.Source.Configured()
	})
}

// apply updates a peer, if it is known, and checks what fn is given and the result.
func (m *model) apply(id transport.NodeID, fn func(*peerstore.Record)) {
	old := m.peers[id]
	var after *peerstore.Record
	got := m.s.Update(id, func(r *peerstore.Record) {
		if old != nil && !Equal(*r, *old) {
			m.fatalf("it shows\n%+v, want\n%+v", *r, *old)
		}
		fn(r)
		after = m.updated(old, *r)
	})
	if got != (old != nil) {
		m.fatalf("it said %v", got)
	}
	if got {
		m.judge(old, after, m.told)
		m.set(after)
		m.settle()
		if m.peers[id] != nil {
			m.look(id)
		}
		m.flagged(old, after)
	}
}

func (m *model) update() {
	id := m.id()
	m.op = "Update " + id.Short()
	if m.m.IntN(8) == 0 {
		m.op = "SetBusy " + id.Short()
		m.setBusy(id, m.m.IntN(3) == 0)
		return
	}
	m.apply(id, m.change)
}

func (m *model) ensure() {
	id := m.id()
	m.op = "Ensure " + id.Short()
	m.judged()
	old, known := m.peers[id]
	if !known {
		old = &peerstore.Record{ID: id, FirstSeen: m.now}
	}
	m.told = m.now
	var after *peerstore.Record
	m.s.Ensure(id, m.now, func(r *peerstore.Record) {
		if !Equal(*r, *old) {
			m.fatalf("it shows\n%+v, want\n%+v", *r, *old)
		}
		m.change(r)
		after = m.updated(old, *r)
	})
	m.judge(old, after, m.told)
	m.set(after)
	m.settle()
	if m.peers[id] != nil {
		m.look(id)
	}
	m.flagged(old, after)
}

func (m *model) remove() {
	id := m.id()
	m.op = "Remove " + id.Short()
	_, known := m.peers[id]
	if got := m.s.Remove(id); got != known {
		m.fatalf("it said %v", got)
	}
	m.drop(id)
	m.look(id)
}

func (m *model) setMeta() {
	key := "key" + strconv.Itoa(m.m.IntN(4))
	m.op = "SetMeta " + key
	if m.m.IntN(3) == 0 {
		m.s.SetMeta(key, nil)
		delete(m.meta, key)
		m.sinceValues[key] = append(m.sinceValues[key], "")
		return
	}
	value := strconv.Itoa(m.m.Int())
	m.s.SetMeta(key, []byte(value))
	m.meta[key] = value
	m.sinceValues[key] = append(m.sinceValues[key], value)
}
