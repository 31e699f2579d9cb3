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
		p.inventory.mark(it.key, told|given)
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
	p.nextRound(m, now)
	if len(p.offers) == 0 && !p.scan.on {
		p.releaseAt = 0
		return nil
	}
	if p.frugal && !p.rode && !p.scan.on && len(p.offers) < frameful && len(p.answers) == 0 {
		if p.releaseAt == 0 {
			p.releaseAt = now + int64(gatherTime)
			m.held.add(p, p.releaseAt)
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
	batch = p.scanOn(m, batch)
	if len(batch) == 0 {
		return nil
	}
	m.stats.Offered += uint64(len(batch))
	if p.scan.on && p.scan.room == 0 {
		return encodeAnnouncement(batch, true)
	}
	return m.announcement.of(batch, func(items []*item) []byte { return encodeAnnouncement(items, false) })
}

// nextRound begins the round of offers that the peer wants, or waits until it may.
func (p *peer) nextRound(m *machine, now int64) {
	switch s := &p.scan; {
	case !s.wanted:
	case now-s.began >= int64(rescanTime):
		s.wanted, s.held, s.began = false, false, now
		p.rescan(m)
	case !s.held:
		s.held = true
		m.held.add(p, s.began+int64(rescanTime))
	}
}

// scanOn adds items of the round of offers to an announcement.
func (p *peer) scanOn(m *machine, batch []*item) []*item {
	s := &p.scan
	s.next = max(s.next, m.shelf.start)
	for s.on && s.room > 0 && len(batch) < maxAnnounced {
		if s.next >= s.end {
			s.on = false
			break
		}
		it := m.shelf.at(s.next)
		s.next++
		if p.inventory.get(it.key)&(heard|given) == 0 {
			p.inventory.mark(it.key, told)
			batch = append(batch, it)
			s.room--
		}
	}
	return batch
}

func encodeAnnouncement(items []*item, more bool) []byte {
	ids := make([]byte, 0, len(items)*sha256.Size)
	sizes := make([]uint32, len(items))
	for i, it := range items {
		ids = append(ids, it.id[:]...)
		sizes[i] = uint32(len(it.body))
	}
	return relaypb.EncodeAnnounce(ids, sizes, more)
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
		p.inventory.mark(it.key, given)
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
	it := m.shelf.items[m.key(id)]
	if it == nil || p.inventory.get(it.key)&told == 0 {
		return nil
	}
	return it
}
