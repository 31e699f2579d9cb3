package host

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// mailbox holds what one peer has waiting with our services: an inbox a channel. It outlives the peer's links: what a
// peer sent before it hung up is still received, and a peer that reconnects goes on filling the same mailbox.
type mailbox struct {
	peer    transport.NodeID
	links   atomic.Int32  // that fill it; written under memory.mu
	bytes   atomic.Int64  // that wait in it
	loose   atomic.Int64  // of these, what waits on channels that may lose messages (whose Overflow is not Block)
	excess  atomic.Int64  // bytes beyond the ReceiveQueues of its inboxes
	dropped atomic.Uint64 // messages
	inboxes []*inbox      // by Channel.index, made at the first message; Channel.mu guards the entry and the inbox
}

// charge adds n bytes to what is beyond the budgets of the inboxes. It reports whether the peer may have so much.
func (b *mailbox) charge(n, limit int64) bool {
	if b.excess.Add(n) > limit {
		b.excess.Add(-n)
		return false
	}
	return true
}

// mostDeparted bounds the mailboxes of peers that have left.
const mostDeparted = 1024

// memory is the budget of messages that wait for services, over all peers. A quarter of it is kept for peers that have
// nothing waiting. When it is spent, the peer that holds most is cut (makeRoom).
type memory struct {
	host  *Host
	limit int64
	step  int64 // channels give memory back in steps of this size
	used  atomic.Int64
	waits atomic.Int32 // len(rooms)

	mu       sync.Mutex
	boxes    map[transport.NodeID]*mailbox
	departed int                        // boxes without a link
	rooms    map[chan struct{}]struct{} // of the calls of Deliver that wait for room
}

func (m *memory) init(h *Host) {
	m.host, m.limit = h, h.cfg.Limits.MessageMemory
	m.step = min(64<<10, m.limit/64)
	m.boxes, m.rooms = map[transport.NodeID]*mailbox{}, map[chan struct{}]struct{}{}
}

// open returns the mailbox of a peer for a new link. leave gives it back.
func (m *memory) open(peer transport.NodeID) *mailbox {
	m.mu.Lock()
	defer m.mu.Unlock()
	box := m.boxes[peer]
	switch {
	case box == nil:
		box = &mailbox{peer: peer, inboxes: make([]*inbox, len(m.host.channels))}
		m.boxes[peer] = box
	case box.links.Load() == 0:
		m.departed--
	}
	box.links.Add(1)
	return box
}

// leave takes a link from its mailbox. If too many peers have left messages, those of the peer that has left most are
// dropped.
func (m *memory) leave(box *mailbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if box.links.Add(-1) > 0 {
		return
	}
	if m.departed++; m.tidy(box) || m.departed <= mostDeparted {
		return
	}
	m.cut(m.largest(func(b *mailbox) int64 {
		if b.links.Load() > 0 {
			return 0
		}
		return b.bytes.Load()
	}), false)
}

// drained forgets the mailbox of a peer that has left, once nothing waits in it.
func (m *memory) drained(box *mailbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tidy(box)
}

// tidy is drained; mu is held.
func (m *memory) tidy(box *mailbox) bool {
	if box.links.Load() > 0 || box.bytes.Load() > 0 || m.boxes[box.peer] != box {
		return false
	}
	delete(m.boxes, box.peer)
	m.departed--
	return true
}

// largest returns the mailbox with the greatest positive weight; nil for none. mu is held.
func (m *memory) largest(weight func(*mailbox) int64) (most *mailbox) {
	var best int64
	for _, b := range m.boxes {
		if w := weight(b); w > best {
			best, most = w, b
		}
	}
	return most
}

// spent reports whether n bytes more of a peer, which has held bytes waiting, are beyond the budget. added bytes are
// not counted yet. A message larger than the budget has room when nothing else waits.
func (m *memory) spent(held, added, n int64) bool {
	limit, used := m.limit, m.used.Load()+added
	if held > 0 {
		limit -= limit / 4
	}
	return used > 0 && used+n > limit
}

// add counts n bytes more, or less: then the paused calls of Deliver look again.
func (m *memory) add(n int64) {
	m.used.Add(n)
	if n < 0 && m.waits.Load() > 0 {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.resume()
	}
}

// resume makes all paused calls of Deliver look again; mu is held.
func (m *memory) resume() {
	for room := range m.rooms {
		select {
		case room <- struct{}{}:
		default:
		}
	}
}

// wait registers a call of Deliver. Its channel receives a value when there may be room.
func (m *memory) wait() chan struct{} {
	room := make(chan struct{}, 1)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rooms[room] = struct{}{}
	m.waits.Store(int32(len(m.rooms)))
	return room
}

func (m *memory) unwait(room chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.rooms, room)
	m.waits.Store(int32(len(m.rooms)))
}

// makeRoom drops what waits of the peer that holds most, so that n bytes of another peer, which holds less even with
// them, find room. What may be lost goes first: messages of peers that have left, and those of channels that may lose
// some. Else, for a peer that has nothing waiting, the links to the one that holds most end. makeRoom reports false if
// nobody is cut: then the sender waits, or loses its message.
func (m *memory) makeRoom(box *mailbox, n int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := box.bytes.Load()
	if !m.spent(held, 0, n) {
		return true // by now
	}
	harmless := func(b *mailbox) int64 {
		if b.links.Load() == 0 {
			return b.bytes.Load()
		}
		return b.loose.Load()
	}
	if most := m.largest(harmless); most != nil && most != box && harmless(most) > held+n {
		return m.cut(most, most.links.Load() > 0)
	}
	most := m.largest(func(b *mailbox) int64 { return b.bytes.Load() })
	if held > 0 || most == nil || most.bytes.Load() <= n {
		return false
	}
	for _, v := range m.host.links.all.Range {
		if l := v.(*link); l.box == most {
			m.host.tasks.spawn(func() {
				l.end(&DisconnectError{Code: muxer.CodeOverflow, Limit: "limits.message_memory",
					Reason: "the messages that wait for services fill their memory, and most are of this peer"})
			})
		}
	}
	return m.cut(most, false)
}

// cut drops the messages in a mailbox, or only those of channels that may lose some. It reports whether that freed any
// memory. mu is held.
func (m *memory) cut(box *mailbox, loose bool) bool {
	var freed int64
	for _, c := range m.host.channels {
		if loose && c.desc.Overflow == muxer.Block {
			continue
		}
		c.mu.Lock()
		if ib := box.inboxes[c.index]; ib != nil && ib.bytes > 0 {
			freed += c.clear(ib) + c.freed
			c.freed = 0
			if i := slices.Index(c.ready[c.first:], ib); i >= 0 { // else it is held
				c.ready = slices.Delete(c.ready, c.first+i, c.first+i+1)
			}
		}
		c.mu.Unlock()
	}
	m.used.Add(-freed)
	m.resume()
	m.tidy(box)
	return freed > 0
}
