package book

import (
	"strings"

	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// sources keeps one copy of each Source, however many addresses it told us of.
type sources struct {
	groups *peerstore.Groups
	all    map[peerstore.Source]*source
	kinds  map[string]*kind
}

type source struct {
	peerstore.Source
	group     peerstore.Group
	kind      *kind
	addresses int // that it told us of
}

// kind is what all sources of one Source.Kind share.
type kind struct {
	quota int // its part of MaxPeers, in eighths
	fresh int // peers of the new table whose first address came from it
}

// maxKinds bounds the kinds that quotas tell apart. Our own code names kinds, never a remote.
const maxKinds = 64

func newSources(groups *peerstore.Groups) sources {
	s := sources{groups, make(map[peerstore.Source]*source), map[string]*kind{"": {quota: otherQuota}}}
	for name, quota := range kindQuotas {
		s.kinds[name] = &kind{quota: quota}
	}
	return s
}

// hold returns the one copy of a source within its bounds, and counts one more address of it.
func (s *sources) hold(from peerstore.Source) *source {
	if len(from.Kind) > peerstore.MaxSourceKind {
		from.Kind = cut(from.Kind, peerstore.MaxSourceKind)
	}
	from.IP = from.IP.Unmap().WithZone("")
	if len(from.From) > peerstore.MaxID {
		from.From = ""
	}
	src := s.all[from]
	if src == nil {
		from.Kind = strings.Clone(from.Kind)
		from.From = transport.NodeID(strings.Clone(string(from.From)))
		k := s.kinds[from.Kind]
		if k == nil && len(s.kinds) < maxKinds {
			k = &kind{quota: otherQuota}
			s.kinds[from.Kind] = k
		} else if k == nil {
			k = s.kinds[""]
		}
		src = &source{Source: from, group: s.groups.OfSource(from), kind: k}
		s.all[from] = src
	}
	src.addresses++
	return src
}

// release counts one address less of a source.
func (s *sources) release(src *source) {
	if src.addresses--; src.addresses == 0 {
		delete(s.all, src.Source)
	}
}

// drop releases the source of an address that is given up.
func (s *sources) drop(a *address) {
	a.count(false)
	s.release(a.source)
}

// dropAll gives up all addresses of e.
func (s *sources) dropAll(e *entry) {
	for i := range e.addresses {
		s.drop(&e.addresses[i])
	}
	e.addresses = nil
}

// count keeps kind.fresh for one address.
func (a *address) count(on bool) {
	if a.counted == on {
		return
	}
	a.counted = on
	if on {
		a.source.kind.fresh++
	} else {
		a.source.kind.fresh--
	}
}

// One way to hear of peers may not fill the whole book. A Source.Kind whose peers in the new table exceed its share of
// MaxPeers (and leastOfKind) has room for a new one only in the place of another of its own. One node may tell us of
// leastOfSource addresses, or of 1/sourceQuota of MaxPeers if that is more.
const (
	leastOfKind   = 1024
	leastOfSource = 1024
	sourceQuota   = 64
	quotaLooks    = 32 // how many peers are looked at to find one of the same kind
)

// kindQuotas are the shares of kinds of sources, in eighths of MaxPeers; of all others otherQuota.
var kindQuotas = map[string]int{
	// the operator's own, and imports
	peerstore.SourceConfig: 8, peerstore.SourceStatic: 8, peerstore.SourceOperator: 8, "file": 8, "addrbook": 8,
	"pex": 6,
	// peers that linked to us and named their addresses: each costs an attacker little
	"inbound": 2, "peer": 2,
}

const otherQuota = 3

// withinQuota reports whether one more peer of a source may be learned. It makes room for it if it can.
func (c *catalog) withinQuota(src *source) bool {
	if src.From != "" && src.addresses > max(c.limits.MaxPeers/sourceQuota, leastOfSource) {
		return false
	}
	if src.kind.fresh < max(c.limits.MaxPeers/8*src.kind.quota, leastOfKind) {
		return true
	}
	looks := quotaLooks
	for level := range middleLevel + 1 {
		for _, far := range [...]bool{false, true} {
			all := c.ranks[rankAt(level, false, far, peerstore.New)]
			for n := min(len(all), looks); n > 0; n-- {
				looks--
				if e := all[c.random.IntN(len(all))]; e.addresses[0].source.kind == src.kind {
					c.remove(e)
					return true
				}
			}
		}
	}
	return false
}
