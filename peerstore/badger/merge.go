package badger

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// This file puts together what the database and the second copy say. There are three cases:
//
//   - The copy has all its lines, and is not behind the database: of bans and small values what it says holds, whatever the database has kept or lost.
//   - It is not so (damaged, gone, or an older program wrote the database since), and the database has lost nothing: the database holds.
//   - Both have lost something: what either has is kept. A ban that was lifted may come back then.

// copyMet is what a loader met that the second copy has, or is to have.
type copyMet struct {
	same  map[string]struct{} // keys of bans and small values in the database that hold
	small map[string][]byte   // small values and peers with flags
	flags map[string]flags    // of these peers
	lacks map[string]lacking  // what the database is to be given

	restoredBans, restoredMeta, restoredPeers int
}

type lacking struct {
	value []byte
	end   time.Time // of a ban
}

func (m *copyMet) add(o *copyMet) {
	m.same, m.small, m.flags = union(m.same, o.same), union(m.small, o.small), union(m.flags, o.flags)
}

func union[K comparable, V any](into, from map[K]V) map[K]V {
	if into == nil {
		return from
	}
	maps.Copy(into, from)
	return into
}

// keep notes a small value or a peer with flags.
func (m *copyMet) keep(key, value []byte) {
	if m.small == nil {
		m.small = make(map[string][]byte)
	}
	m.small[string(key)] = bytes.Clone(value)
}

func (m *copyMet) flagged(key, value []byte, f flags) {
	m.keep(key, value)
	if m.flags == nil {
		m.flags = make(map[string]flags)
	}
	m.flags[string(key)] = f
}

// consult decides whether the copy is to be believed, before anything is read of a database with such totals (nil: there are none). If so, it puts its bans and small
// values into the book: the key that places peers is among them.
func (l *loader) consult(totals *switchyardpb.StoreTotals) {
	if l.copy == nil || l.copy.damage != nil || totals != nil && (totals.Copied == 0 || totals.Copied > l.copy.number) {
		return
	}
	l.trusts = true
	for key, value := range l.copy.values {
		switch key[0] {
		case banKey:
			ban, err := decodeBan([]byte(key[1:]), value)
			if err != nil || !l.book.RestoreBan(ban, l.now) {
				delete(l.copy.values, key)
			}
		case metaKey:
			if !l.book.RestoreMeta(key[1:], value) {
				delete(l.copy.values, key)
			}
		}
	}
}

// confirm says that the copy has the key of a ban or a small value, and notes whether it has the same value.
func (w *worker) confirm(key, value []byte) bool {
	have, ok := w.copy.values[string(key)]
	if ok && bytes.Equal(have, value) {
		w.met.holds(key)
	}
	return ok
}

func (m *copyMet) holds(key []byte) {
	if m.same == nil {
		m.same = make(map[string]struct{})
	}
	m.same[string(key)] = struct{}{}
}

// merge gives the book what only the copy has, once the database has been read, which may have lost something.
func (l *loader) merge(lost bool) {
	if l.copy == nil || !l.trusts && !lost {
		return
	}
	l.lacks = make(map[string]lacking)
	for key, value := range l.copy.values {
		switch key[0] {
		case banKey:
			l.mergeBan(key, value)
		case metaKey:
			l.mergeMeta(key, value)
		case peerKey:
			l.mergePeer([]byte(key), value)
		}
	}
}

func (l *loader) mergeBan(key string, value []byte) {
	ban, err := decodeBan([]byte(key[1:]), value)
	if err != nil {
		return
	}
	if _, same := l.same[key]; same {
		return
	}
	if !l.trusts && !l.book.RestoreBan(ban, l.now) {
		return
	}
	l.lacks[key] = lacking{value, ban.Until}
	l.restoredBans++
}

func (l *loader) mergeMeta(key string, value []byte) {
	_, same := l.same[key]
	if !l.trusts {
		if l.book.Meta(key[1:]) != nil || !l.book.RestoreMeta(key[1:], value) {
			return
		}
	}
	l.keep([]byte(key), value)
	if !same {
		l.lacks[key] = lacking{value: value}
		l.restoredMeta++
	}
}

// mergePeer gives a peer the flags that it had, and makes it known again if it is lost.
func (l *loader) mergePeer(key, value []byte) {
	r, _, err := decodePeer(key[1:], value)
	if err != nil {
		return
	}
	f := flagsOf(r.Trusted, r.Unconditional, r.Private)
	if l.flags[string(key)] == f { // the database has it, whether or not there is a place for it
		return
	}
	have, known := l.book.Get(r.ID)
	if now := flagsOf(have.Trusted, have.Unconditional, have.Private); !l.trusts {
		f |= now
	} else if now == f {
		l.flagged(key, value, f)
		return
	}
	l.book.Ensure(r.ID, l.now, func(into *peerstore.Record) {
		if !known {
			*into = r
		}
		into.Trusted, into.Unconditional, into.Private = f&1 != 0, f&2 != 0, f&4 != 0
	})
	l.flagged(key, value, f)
	l.restoredPeers++
}

// holds says that the copy has all these keys. A kill may have come after a peer was taken out of it, and before it was of the database.
func (c *copied) holds(small map[string][]byte) bool {
	for key := range small {
		if _, ok := c.values[key]; !ok {
			return false
		}
	}
	return true
}

// copyDamage says why the second copy is not believed; nil when it is, or when there never was one.
func (l *loader) copyDamage() error {
	switch copied := l.totals.GetCopied(); {
	case l.trusts || copied == 0:
		return nil
	case l.copy == nil:
		return errors.New("is missing")
	case l.copy.damage != nil:
		return l.copy.damage
	default:
		return fmt.Errorf("ends with line %d, there were %d", l.copy.number, copied)
	}
}
