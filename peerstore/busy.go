package peerstore

import "github.com/switchyard-p2p/switchyard/transport"

// SetBusy marks a peer as being dialed or connected, or not any more: see Store. It is Update for Record.Busy alone, without a copy of the record; and
// nothing has to be persisted for it.
func (b *Book) SetBusy(id transport.NodeID, on bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot, e := b.find(id)
	if e == nil {
		return false
	}
	b.setBusy(slot, e, on)
	return true
}

func (b *Book) setBusy(slot uint32, e *entry, on bool) {
	if e.is(busy) == on {
		return
	}
	e.setFlag(busy, on)
	b.reindex(slot, e)
	if e.is(contested) {
		b.judge()
	}
	b.prune()
}
