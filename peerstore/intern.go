package peerstore

import (
	"hash/maphash"
	"strings"
	"unsafe"

	"github.com/switchyard-p2p/switchyard/transport"
)

// sources keeps one copy of each Source, however many addresses it told us of. Numbers begin with 1.
type sources struct {
	seed  maphash.Seed
	index cells
	all   slab[source]
	kinds map[string]uint8 // the numbers of kinds; see kindOf

	last   Source // the one asked for last: addresses come in batches
	lastAt uint32
	lastOf *source
}

type source struct {
	Source
	group   Group
	kind    uint8
	eighths uint8 // kindQuota
	refs    uint32
}

// maxKinds bounds the kinds that are told apart by quotas. Kinds are named by our own code, never by a remote.
const maxKinds = 64

func (s *sources) at(i uint32) *source {
	if i == s.lastAt && i != 0 {
		return s.lastOf
	}
	return s.all.at(i - 1)
}

// hold finds or adds a source, and counts one more address of it.
func (s *sources) hold(src *Source, groups *Groups) uint32 {
	if s.lastAt == 0 || s.last != *src {
		at := s.add(*src, groups)
		s.last, s.lastAt, s.lastOf = *src, at, s.all.at(at-1)
	}
	s.lastOf.refs++
	return s.lastAt
}

// groupOfLast is the group of a source if that is the one asked for last.
func (s *sources) groupOfLast(src *Source) (g Group, ok bool) {
	if s.lastAt == 0 || s.last != *src {
		return Group{}, false
	}
	return s.lastOf.group, true
}

func (s *sources) add(src Source, groups *Groups) uint32 {
	src.Kind = prefixOf(src.Kind, maxKind)
	src.IP = src.IP.Unmap().WithZone("")
	if len(src.From) > maxID {
		src.From = ""
	}
	tag := s.tag(&src)
	if i, ok := s.index.find(tag, func(i uint32) bool { return s.at(i).Source == src }); ok {
		return i
	}
	if s.kinds == nil {
		s.kinds = make(map[string]uint8)
	}
	src.Kind = strings.Clone(src.Kind)
	src.From = transport.NodeID(strings.Clone(string(src.From)))
	i := s.all.take() + 1
	*s.at(i) = source{Source: src, group: groups.OfSource(src), kind: s.kindOf(src.Kind), eighths: uint8(kindQuota(src.Kind))}
	s.index.put(tag, i)
	return i
}

// prefetch begins to load the source with a tag.
func (s *sources) prefetch(tag uint32) {
	if i, ok := s.index.find(tag, func(uint32) bool { return true }); ok {
		prefetch(unsafe.Pointer(s.at(i)))
	}
}

// tag hashes a source.
func (s *sources) tag(src *Source) uint32 {
	ip := src.IP.As16()
	return uint32(maphash.String(s.seed, string(src.From)) + 3*maphash.String(s.seed, src.Kind) + 5*maphash.Bytes(s.seed, ip[:]))
}

// kindOf numbers the kinds from 1; beyond maxKinds they share 0.
func (s *sources) kindOf(kind string) uint8 {
	n, ok := s.kinds[kind]
	if !ok && len(s.kinds) < maxKinds {
		n = uint8(len(s.kinds) + 1)
		s.kinds[kind] = n
	}
	return n
}

func (s *sources) release(i uint32) {
	one := s.at(i)
	if one.refs--; one.refs > 0 {
		return
	}
	if s.lastAt == i {
		s.last, s.lastAt, s.lastOf = Source{}, 0, nil
	}
	s.index.drop(s.tag(&one.Source), i)
	s.all.give(i - 1)
}

// texts keeps error texts; equal ones share memory as a rule. Number 0 is the empty text.
type texts struct {
	seed   maphash.Seed
	all    slab[text]
	recent [256]uint32
}

type text struct {
	string
	refs uint32
}

func (t *texts) get(i uint32) string {
	if i == 0 {
		return ""
	}
	return t.all.at(i - 1).string
}

// hold keeps a text of at most maxReason bytes, and counts one more use of it.
func (t *texts) hold(s string) uint32 {
	if s == "" {
		return 0
	}
	recent := &t.recent[maphash.String(t.seed, s)%uint64(len(t.recent))]
	if i := *recent; i != 0 && t.all.at(i-1).string == s {
		t.all.at(i-1).refs++
		return i
	}
	clean := cut(s, maxReason)
	i := t.all.take() + 1
	*t.all.at(i - 1) = text{clean, 1}
	if clean == s {
		*recent = i
	}
	return i
}

func (t *texts) release(i uint32) {
	if i == 0 {
		return
	}
	if one := t.all.at(i - 1); one.refs > 1 {
		one.refs--
	} else {
		t.all.give(i - 1)
	}
}
