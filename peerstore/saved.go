package peerstore

import "github.com/switchyard-p2p/switchyard/transport"

// Saved is a peer as it is to be persisted: a Record in about the form in which the book holds it, so that taking it makes no texts and allocates nothing while
// everybody else waits for the book. Times are nanoseconds since 1970, 0 where there is none.
type Saved struct {
	Node      [transport.NodeIDSize]byte // what the 40 hex digits of the node id spell; nothing if there is a Name
	Name      transport.NodeID           // a node id of another form
	Addresses []SavedAddress

	FirstSeen        int64
	Scored           int64
	LastConnected    int64
	LastDisconnected int64
	NotBefore        int64
	Quarantined      int64
	QuarantineReason string
	Height           uint64
	Failures         uint32
	Score            int16
	Trusted          bool
	Unconditional    bool
	Private          bool
	InTried          bool
	Busy             bool // is not to be persisted, but a busy peer does not expire
}

// SavedAddress is an AddressRecord as it is to be persisted.
type SavedAddress struct {
	Packed      transport.Packed  // where it leads; nothing if there is an Other
	Other       transport.Address // an address that has no packed form
	Source      Source
	FirstHeard  int64
	LastHeard   int64
	LastDialed  int64
	LastSuccess int64
	NotBefore   int64
	LastError   string
	Failures    uint32
}

// LastSeen is Record.LastSeen.
func (s *Saved) LastSeen() int64 {
	last := max(s.FirstSeen, s.LastConnected, s.LastDisconnected)
	for i := range s.Addresses {
		last = max(last, s.Addresses[i].LastHeard, s.Addresses[i].LastSuccess)
	}
	return last
}

// Record is the peer as all other calls give it.
func (s *Saved) Record() Record {
	r := Record{
		ID: s.id(), FirstSeen: stamp(s.FirstSeen),
		Trusted: s.Trusted, Unconditional: s.Unconditional, Private: s.Private,
		Score: s.Score, Scored: stamp(s.Scored), Height: s.Height,
		LastConnected: stamp(s.LastConnected), LastDisconnected: stamp(s.LastDisconnected),
		Failures: s.Failures, NotBefore: stamp(s.NotBefore),
		Quarantined: stamp(s.Quarantined), QuarantineReason: s.QuarantineReason,
		Busy: s.Busy, InTried: s.InTried,
	}
	for i := range s.Addresses {
		a := &s.Addresses[i]
		where := a.Other
		if where.IsZero() {
			where = a.Packed.Address()
		}
		r.Addresses = append(r.Addresses, AddressRecord{
			Address: where, Source: a.Source,
			FirstHeard: stamp(a.FirstHeard), LastHeard: stamp(a.LastHeard),
			LastDialed: stamp(a.LastDialed), LastSuccess: stamp(a.LastSuccess),
			Failures: a.Failures, NotBefore: stamp(a.NotBefore), LastError: a.LastError,
		})
	}
	return r
}

// orderly says that the book can take over the addresses as they are: there are at most so many, none twice, each in its shortest form and of this node.
func (s *Saved) orderly(most int) bool {
	if len(s.Addresses) > most {
		return false
	}
	for i := range s.Addresses {
		a := &s.Addresses[i]
		if a.Other.IsZero() {
			if s.Name != "" || a.Packed.Node != s.Node || a.Packed.Port == 0 {
				return false
			}
		} else if _, plain := a.Other.Pack(); plain || !a.Other.Is(s.id()) {
			return false
		}
		for j := range i {
			if o := &s.Addresses[j]; o.Packed == a.Packed && o.Other == a.Other {
				return false
			}
		}
	}
	return true
}

func (s *Saved) id() transport.NodeID {
	if s.Name != "" {
		return s.Name
	}
	return transport.NodeIDFromBytes(s.Node)
}

// differs says that e may have to be persisted in another way than it was, but for extras.
func (e *entry) differs(was *entry) bool {
	const persisted = kept | private
	return e.first != was.first || e.first.next != 0 || e.flags&persisted != was.flags&persisted || e.score != was.score || e.table != was.table || e.failures != was.failures ||
		e.notBefore != was.notBefore || e.firstSeen != was.firstSeen
}

// save copies e to s, all of which it sets; it reuses s's addresses.
func (b *Book) save(slot uint32, e *entry, s *Saved) {
	s.Node, s.Name = e.key, ""
	if e.is(named) {
		s.Name = b.names[slot]
	}
	s.Addresses = s.Addresses[:0]
	for k := b.firstOf(e); k != nil; k = b.nextOf(k) {
		b.saveKnown(e, k, next(&s.Addresses))
	}
	s.FirstSeen, s.NotBefore = e.firstSeen, e.notBefore
	s.Trusted, s.Unconditional, s.Private = e.is(trusted), e.is(unconditional), e.is(private)
	s.Score, s.Failures = int16(e.score), e.failures
	s.Busy, s.InTried = e.is(busy), e.table == Tried
	x := b.extraOf(e)
	s.Scored, s.Height = x.scored, x.height
	s.LastConnected, s.LastDisconnected = x.lastConnected, x.lastDisconnected
	s.Quarantined, s.QuarantineReason = x.quarantined, b.texts.get(x.why)
}

func (b *Book) saveKnown(e *entry, k *known, a *SavedAddress) {
	a.Packed, a.Other = transport.Packed{}, transport.Address{}
	if k.other != 0 {
		a.Other = *b.others.at(k.other - 1)
	} else {
		a.Packed = transport.Packed{Node: e.key, IP: k.ip, Port: k.port}
	}
	a.Source = b.sources.at(k.source).Source
	a.FirstHeard, a.LastHeard = k.firstHeard, k.lastHeard
	a.LastDialed, a.LastSuccess = k.lastDialed, k.lastWorked
	a.NotBefore, a.LastError, a.Failures = k.notBefore, b.texts.get(k.lastError), k.failures
}
