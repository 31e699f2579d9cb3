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
	payload int // of a full packet
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
		for flushed && s.idle() && s.err == nil && (!s.drain.asked || s.drain.marked) {
			if b != nil {
				batches.Put(b)
				b = nil
			}
			s.parked = true
			s.wake.Wait()
		}
		s.parked = false
		due := !s.idle()
		end := flushed && !due && s.err == nil && s.drain.asked && !s.drain.marked // only our mark is left to be sent
		s.drain.marked = s.drain.marked || end
		done := s.ended || flushed && !due && !end // closed, and all is sent that was queued
		if due && !done {
			if b == nil {
				b = batches.Get().(*batch)
			}
			s.take(b)
		}
		s.mu.Unlock()
		if done {
			s.shut()
			return
		}

		var err error
		if due && s.sendLimit != nil {
			wait(s.ctx, s.sendLimit, b.bytes)
		}
		s.alive.writing.Store(s.now())
		switch {
		case due:
			err = s.write(b)
		case end:
			err = s.writeEnd()
		default:
			err = s.conn.Flush()
		}
		s.alive.writing.Store(0)
		if err != nil {
			s.failWrite(transportError(err))
			return
		}
		flushed = !due
		if end {
			s.endSent()
		}
	}
}

// idle reports whether nothing is queued, or nothing may be sent any more. The mutex is held.
func (s *Session) idle() bool { return s.drain.marked || s.fair.Idle() && !s.ping && !s.pong }

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
		o := &s.outbound[i]
		b.take(o, room)
		s.fair.Spent(i, b.bytes-before)
		if o.queue.Empty() {
			s.fair.Remove(i)
		}
	}
}

// outbound is what the writer knows of a channel.
type outbound struct {
	id      byte
	queue   *muxer.SendQueue
	payload int // of a full packet
}

// take moves messages of a channel into the batch until about room bytes are there, at least one packet. Only a whole
// number of full packets is cut off a message.
func (b *batch) take(o *outbound, room int) {
	for room > 0 && !o.queue.Empty() && len(b.pieces) < batchPieces {
		rest := o.queue.First()
		n, last := len(rest), true
		if n > max(room, o.payload) {
			n, last = max(room/o.payload, 1)*o.payload, false
		}
		b.pieces = append(b.pieces, piece{rest[:n], o.payload, o.id, last})
		cost := n + (n/o.payload+1)*headerCost
		b.bytes += cost
		room -= cost
		if !o.queue.Take(n) {
			return
		}
	}
}

// write hands the batch to the connection and empties it.
func (s *Session) write(b *batch) error {
	buf := append(b.scratch[:0], b.control...)
	bytes, messages := 0, 0
	for _, p := range b.pieces {
		for data := p.data; ; {
			n := min(len(data), p.payload)
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
	clear(b.pieces) // drop the references to messages
	b.pieces, b.control, b.bytes = b.pieces[:0], b.control[:0], 0
	return nil
}
