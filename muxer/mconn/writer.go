package mconn

import (
	"sync"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	batchBytes  = 64 << 10 // what the writer takes from the lanes at once
	batchPieces = 512
	// quantum is how much of one lane goes into a batch in a row while other lanes wait.
	quantum = 4 << 10
	// inlineMax is up to which size a payload is copied behind its header, so that the connection gets both in one
	// call.
	inlineMax   = 256
	scratchSize = 4 << 10
	headerCost  = 12 // about what a packet costs beside its payload
)

// piece is a run of packets of one message.
type piece struct {
	data    []byte
	channel byte
	last    bool // it ends the message
}

// batch is what the writer has taken from the lanes and not yet written.
type batch struct {
	pieces  []piece
	bytes   int
	control []byte // ping and pong, before all else
	scratch []byte // headers and small payloads on their way to the connection
}

// An idle session holds no batch.
var batches = sync.Pool{New: func() any {
	return &batch{pieces: make([]piece, 0, batchPieces), control: make([]byte, 0, 8),
		scratch: make([]byte, 0, scratchSize)}
}}

// writeLoop is the writer: it writes batches while anything is due, flushes when nothing more is, and then sleeps.
func (s *Session) writeLoop() {
	var b *batch
	flushed := true
	for {
		s.mu.Lock()
		if flushed && s.idle() {
			if b != nil {
				batches.Put(b)
				b = nil
			}
			s.park()
		}
		due := !s.idle()
		done := s.ended || flushed && !due // closed, and all is sent that was queued
		if due && !done {
			if b == nil {
				b = batches.Get().(*batch)
			}
			s.take(b)
		}
		s.mu.Unlock()

		var err error
		switch {
		case done:
			s.shut()
			return
		case due:
			err = s.write(b)
		default:
			err = s.flush()
		}
		if err != nil {
			s.failWrite(transportError(err))
			return
		}
		flushed = !due
	}
}

// park waits until something is due or the session ends. The mutex is held.
func (s *Session) park() {
	for s.idle() && s.err == nil {
		s.parked = true
		s.wake.Wait()
	}
	s.parked = false
}

// idle says that nothing is queued. The mutex is held.
func (s *Session) idle() bool { return s.fair.Idle() && !s.ping && !s.pong }

// take moves what is due into the batch: keep-alives first, then the lanes by their weights. The mutex is held.
func (s *Session) take(b *batch) {
	if s.pong {
		s.pong = false
		b.control = append(b.control, pongPacket...)
	}
	if s.ping {
		s.ping = false
		b.control = append(b.control, pingPacket...)
		s.pinged()
	}
	limit := batchBytes
	if s.sendLimit != nil {
		limit = min(limit, s.sendLimit.Burst())
	}
	for b.bytes < limit && len(b.pieces) < batchPieces {
		i, alone := s.fair.Next()
		if i < 0 {
			return
		}
		room := limit - b.bytes
		if !alone {
			room = min(room, quantum)
		}
		before := b.bytes
		q := s.queues.Queue(i)
		b.take(q, s.ids[i], room, s.payload(s.ids[i]))
		s.fair.Spent(i, b.bytes-before)
		if q.Empty() {
			s.fair.Remove(i)
		}
	}
}

// payload is how much a packet of the channel carries. A CometBFT node takes no packet that is longer than its own
// largest one on channel 1, so the longer id costs a byte of payload.
func (s *Session) payload(channel byte) int {
	if channel >= 0x80 {
		return s.cfg.MaxPacketPayload - 1
	}
	return s.cfg.MaxPacketPayload
}

// take moves messages of a channel into the batch until about room bytes are there, at least one packet. Only a whole
// number of full packets is cut off a message.
func (b *batch) take(q *muxer.SendQueue, channel byte, room, payload int) {
	for room > 0 && !q.Empty() && len(b.pieces) < batchPieces {
		rest := q.First()
		n, last := len(rest), true
		if n > max(room, payload) {
			n, last = max(room/payload, 1)*payload, false
		}
		b.pieces = append(b.pieces, piece{rest[:n], channel, last})
		cost := n + (n/payload+1)*headerCost
		b.bytes += cost
		room -= cost
		if !q.Take(n) {
			return
		}
	}
}

// write hands the batch to the connection and empties it.
func (s *Session) write(b *batch) error {
	defer b.reset()
	if s.sendLimit != nil {
		wait(s.ctx, s.sendLimit, b.bytes)
	}
	s.alive.writing.Store(s.now())
	defer s.alive.writing.Store(0)

	buf := append(b.scratch[:0], b.control...)
	bytes, messages := 0, 0
	for _, p := range b.pieces {
		payload := s.payload(p.channel)
		for data := p.data; ; {
			n := min(len(data), payload)
			last := p.last && n == len(data)
			if len(buf) > scratchSize-inlineMax-maxHeader {
				if _, err := s.conn.Write(buf); err != nil {
					return err
				}
				bytes += len(buf)
				buf = buf[:0]
			}
			buf = appendHeader(buf, p.channel, last, n)
			if n <= inlineMax {
				buf = append(buf, data[:n]...)
			} else {
				if _, err := s.conn.Write(buf); err != nil {
					return err
				}
				if _, err := s.conn.Write(data[:n]); err != nil {
					return err
				}
				bytes += len(buf) + n
				buf = buf[:0]
			}
			if data = data[n:]; len(data) == 0 {
				break
			}
		}
		if p.last {
			messages++
		}
	}
	if len(buf) > 0 {
		if _, err := s.conn.Write(buf); err != nil {
			return err
		}
	}
	s.sentBytes.Add(uint64(bytes + len(buf)))
	s.sentMessages.Add(uint64(messages))
	return nil
}

func (s *Session) flush() error {
	s.alive.writing.Store(s.now())
	defer s.alive.writing.Store(0)
	return s.conn.Flush()
}

// reset drops the batch's references to messages.
func (b *batch) reset() {
	clear(b.pieces)
	b.pieces, b.control, b.bytes = b.pieces[:0], b.control[:0], 0
}
