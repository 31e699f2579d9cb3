package peerstore

// One way to hear of peers may not fill the whole book. A Source.Kind whose peers in the new table are more than its share of MaxPeers (and more than
// fewestOfKind) has room for a new one only in the place of another of its own; and one node that tells us of others, for fewestOfSource addresses, or
// 1/sourceQuota of MaxPeers if that is more.
const (
	fewestOfKind   = 1024
	fewestOfSource = 1024
	sourceQuota    = 64
	quotaLooks     = 32 // how many peers are looked at to find one of the same kind
)

// kindQuota is the share of a kind of sources, in eighths of MaxPeers.
func kindQuota(kind string) int {
	switch kind {
	case SourceConfig, "operator", "static", "file", "addrbook": // the operator's own, and what he imports (see transfer.CometKind)
		return 8
	case "pex":
		return 6
	case "inbound", "peer": // each that links to us tells of itself: making more of these costs an attacker little
		return 2
	}
	return 3
}

// count keeps b.ofKind: how many peers of the new table each kind of sources has told of.
func (b *Book) count(e *entry) {
	kind := uint8(0)
	if e.table == New && !e.is(kept) && e.first.source != 0 {
		kind = b.sources.at(e.first.source).kind + 1
	}
	if kind == e.kind {
		return
	}
	b.ofKind[e.kind]--
	b.ofKind[kind]++
	e.kind = kind
}

// withinQuota says that one more peer of a source may be learned. It makes room for it if it can.
func (b *Book) withinQuota(from uint32) bool {
	if b.limits.Without.Quotas {
		return true
	}
	src := b.sources.at(from)
	if src.From != "" && int(src.refs) > max(b.limits.MaxPeers/sourceQuota, fewestOfSource) {
		return src.Kind == SourceConfig
	}
	kind := src.kind + 1
	if b.ofKind[kind] < max(b.limits.MaxPeers/8*int(src.eighths), fewestOfKind) {
		return true
	}
	for range quotaLooks {
		slot := uint32(b.random.IntN(int(b.entries.next)))
		e := b.at(slot)
		if e.is(live) && e.kind == kind && e.set >= firstSet && e.set.level() <= middleLevel {
			b.remove(slot, e)
			return true
		}
	}
	return false
}
