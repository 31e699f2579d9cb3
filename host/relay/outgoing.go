package relay

import (
	"crypto/sha256"

	"github.com/switchyard-p2p/switchyard/internal/relaypb"
)

// nextRequest is a message with up to 64 requests.
func (p *peer) nextRequest() []byte {
	if len(p.asks) == 0 {
		return nil
	}
	n := min(len(p.asks), relaypb.MaxRequested)
	ids := make([]byte, 0, n*sha256.Size)
	for _, r := range p.asks[:n] {
		ids = append(ids, r.id[:]...)
	}
	clear(p.asks[:n])
	if p.asks = p.asks[n:]; len(p.asks) == 0 {
		p.asks = nil
	}
	return relaypb.EncodeRequest(ids)
}

// nextPush is a message with items of our own that nobody has requested.
func (p *peer) nextPush(m *machine) []byte {
	var batch [relaypb.MaxRequested]*item
	n, size, used := 0, 0, 0
	for ; used < len(p.pushes) && n < len(batch) && size < batchBytes; used++ {
		it := p.pushes[used]
		p.pushes[used] = nil
		if p.inventory.get(it.key) != 0 { // it has come by another way meanwhile
			continue
		}
		batch[n] = it
		n++
		size += len(it.body)
		p.inventory.mark(it.key, told)
		m.handedOut(it)
	}
	if p.pushes = p.pushes[used:]; len(p.pushes) == 0 {
		p.pushes = nil
	}
	if n == 0 {
		return nil
	}
	return m.push.of(batch[:n], func(items []*item) []byte { return encodeItems(relaypb.KindPush, items) })
}

func encodeItems(kind relaypb.Kind, items []*item) []byte {
	bodies := make([][]byte, len(items))
	for i, it := range items {
		bodies[i] = it.body
	}
	return relaypb.EncodeItems(kind, bodies...)
}

// handedOut notes that an item's body has gone to a peer.
func (m *machine) handedOut(it *item) {
	m.stats.Served++
	m.stats.ServedBytes += uint64(len(it.body))
	if !it.fetched {
		it.fetched = true
		if it.own {
			m.effects = append(m.effects, effect{kind: fetched, item: it})
		}
	}
}

// nextAnnouncement is a message with what the peer is not known to have.
func (p *peer) nextAnnouncement(m *machine, now int64) []byte {
	if len(p.offers) == 0 {
		p.releaseAt = 0
		return nil
	}
	if p.frugal && !p.rode && len(p.offers) < frameful && len(p.answers) == 0 {
		if p.releaseAt == 0 {
			p.releaseAt = now + int64(gatherTime)
			m.held = append(m.held, hold{p, p.releaseAt})
		}
		if now < p.releaseAt {
			return nil
		}
	}
	p.releaseAt = 0
	batch := make([]*item, 0, min(len(p.offers), maxAnnounced))
	used := 0
	for ; used < len(p.offers) && len(batch) < maxAnnounced; used++ {
		it := p.offers[used]
		p.offers[used] = nil
		if it.gone || p.inventory.get(it.key) != 0 {
			continue
		}
		p.inventory.mark(it.key, told)
		batch = append(batch, it)
	}
	if p.offers = p.offers[used:]; len(p.offers) == 0 {
		p.offers = nil
	}
	if len(batch) == 0 {
		return nil
	}
	m.stats.Offered += uint64(len(batch))
	return m.announcement.of(batch, func(items []*item) []byte {
		ids := make([]byte, 0, len(items)*sha256.Size)
		sizes := make([]uint32, len(items))
		for i, it := range items {
			ids = append(ids, it.id[:]...)
			sizes[i] = uint32(len(it.body))
		}
		return relaypb.EncodeAnnounce(ids, sizes)
	})
}

// nextAnswer answers the first requests: what is missing, or a large item, or several small ones.
func (p *peer) nextAnswer(m *machine) []byte {
	var batch [relaypb.MaxRequested]*item
	n, size, used := 0, 0, 0
	defer func() {
		if p.answers = p.answers[used:]; len(p.answers) == 0 {
			p.answers = nil
		}
	}()
	for ; used < len(p.answers); used++ {
		it := p.served(m, p.answers[used])
		switch {
		case it == nil && n > 0: // at first what is before
			return encodeItems(relaypb.KindItems, batch[:n])
		case it == nil:
			for used++; used < len(p.answers) && p.served(m, p.answers[used]) == nil; {
				used++
			}
			m.stats.NotFound += uint64(used)
			return relaypb.EncodeMissing(used)
		case len(it.body) >= soleItem && n > 0 || n > 0 && size+len(it.body) > batchBytes:
			return encodeItems(relaypb.KindItems, batch[:n])
		}
		m.handedOut(it)
		if len(it.body) >= soleItem {
			used++
			return it.message()
		}
		batch[n] = it
		n++
		size += len(it.body)
	}
	if n == 0 {
		return nil
	}
	return encodeItems(relaypb.KindItems, batch[:n])
}

// served returns an item that may be served to the peer: we have it, and we have told the peer of it.
func (p *peer) served(m *machine, id ID) *item {
	it := m.shelf.items[id]
	if it == nil || p.inventory.get(it.key)&told == 0 {
		return nil
	}
	return it
}
