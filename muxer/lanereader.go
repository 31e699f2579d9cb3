package muxer

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	laneChunk        = 64 << 10  // the reader reads this much at once
	laneDeliver      = 256       // the most messages in one Deliver
	laneDeliverBytes = 256 << 10 // about the most bytes in one Deliver
	// laneExact is how much memory the remote's word alone can claim. Beyond that, memory is claimed as bytes arrive.
	laneExact = 16 << 10
	// laneHint bounds what the size of a channel's last message makes us claim for its next one.
	laneHint = 1 << 20
	// lanePeek is how much is read ahead of a message that is likely to be long: the rest then goes straight into its place.
	lanePeek = 64
)

// laneReader is the message of one channel that is being received.
type laneReader struct {
	length int  // of the message, or as much of its length as has come
	shift  int  // bits of the length that have come
	body   bool // the length is whole
	buf    []byte
	hint   int // size of the last message, if that was a long one
}

// laneWork is what the reader borrows while it is busy.
type laneWork struct {
	chunk [laneChunk]byte
	msgs  []Message
}

var laneWorks = sync.Pool{New: func() any { return &laneWork{msgs: make([]Message, 0, laneDeliver)} }}

// readLoop is the reader. It ends when there has been nothing to do for a while, or with the session.
func (s *Lanes) readLoop(h Handler, waits Liveness) {
	for {
		lane, look, alive, err := s.nextLane()
		if err == errRetired {
			return
		}
		if waits != nil && (alive || lane != -1) {
			waits.Alive()
			waits = nil
			s.mu.Lock()
			s.reader.waits = nil
			s.beginPrompt()
			s.mu.Unlock()
		}
		switch {
		case err != nil:
		case look >= 0:
			s.readAnswer(look)
		case lane == wholeMessages:
			err = s.deliverWhole(h)
		case lane == promptRest:
			err = s.deliverRest(h)
		case lane >= 0:
			err = s.readLane(lane, h)
		}
		if err != nil {
			s.reader.end(err)
			return
		}
	}
}

// errRetired says that the reader is not needed for now.
var errRetired = errors.New("nothing to read")

// What nextLane returns in place of a lane: messages have come singly, or there is something left by readNow.
const (
	wholeMessages = -2
	promptRest    = -3
)

// nextLane waits for something to do: a lane with bytes to read, messages that have come singly, a stream of ours with an answer, or the end.
func (s *Lanes) nextLane() (read, look int, alive bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch read, look = s.choose(); {
		case s.prompt.busy:
			s.prompt.woken = true
			s.news.Wait()
			continue
		case look >= 0:
			s.lanes[look].look = false
			s.reader.busy()
			return -1, look, s.alive, nil
		case s.shutting:
			return -1, -1, false, s.err
		case read != -1:
			s.reader.busy()
			return read, -1, s.alive, nil
		case s.input != nil && s.naming == 0 && s.single.reading == 0 && !s.streams.Pending():
			return -1, -1, false, s.inputError()
		case s.alive:
			s.alive = false
			return -1, -1, true, nil
		}
		s.prompt.resting = true
		if s.reader.retire {
			s.reader.on = false
			return -1, -1, false, errRetired
		}
		s.news.Wait()
		s.prompt.resting = false
	}
}

// choose finds what is to be read: a lane, or something in place of one, or our own stream of a lane; -1 for none. The mutex is held.
func (s *Lanes) choose() (read, look int) {
	for i := range s.lanes {
		if s.lanes[i].look {
			return -1, i
		}
	}
	switch {
	case s.prompt.rest != nil || s.prompt.broken != nil:
		return promptRest, -1
	case len(s.single.whole) > 0: // few, however many the remote has sent
		return wholeMessages, -1
	}
	return s.reading.Next(), -1
}

// inputError is why the remote sends no more. The mutex is held.
func (s *Lanes) inputError() error {
	if s.input == io.EOF {
		for i := range s.lanes {
			if s.lanes[i].read.inside() {
				return &CloseError{Code: CodeRemoteClosed, Remote: true, Reason: "inside a message", Err: io.ErrUnexpectedEOF}
			}
		}
	}
	return s.input
}

func (r *laneReader) inside() bool { return r.body || r.shift > 0 }

// inChanged is called by the connection when the remote's stream of a lane has bytes to read, or has ended.
func (s *Lanes) inChanged(i int, in RawStream) {
	s.mu.Lock()
	if s.lanes[i].in != in {
		s.mu.Unlock()
		return
	}
	s.now.heard = true
	r := in.Ready()
	now := s.takePrompt(in, r)
	if now == nil && (r.Readable > 0 || r.Ended) {
		s.reading.Add(i)
		s.wakeReader()
	}
	s.mu.Unlock()
	if now != nil {
		s.readNow(i, in, now)
	}
}

// attach makes a stream of the remote that of a lane; false: the lane has one.
func (s *Lanes) attach(i int, in RawStream) bool {
	s.mu.Lock()
	l := &s.lanes[i]
	if l.in != nil {
		s.mu.Unlock()
		return false
	}
	l.in = in
	s.mu.Unlock()
	in.Watch(func() { s.inChanged(i, in) })
	s.inChanged(i, in)
	return true
}

// readLane reads what a lane has, as much as one Deliver takes, and delivers it.
func (s *Lanes) readLane(i int, h Handler) error {
	l := &s.lanes[i]
	w := laneWorks.Get().(*laneWork)
	total, lost := 0, false
	var broken error
	for broken == nil && !lost && len(w.msgs) < laneDeliver {
		room := laneDeliverBytes
		if s.contended() { // a turn that takes all that a lane's window holds would leave every lane the same share
			room = laneQuantum
		}
		r := l.in.Ready()
		if r.Readable <= 0 || r.Reset || total >= room {
			break
		}
		var n int
		n, lost, broken = s.readSome(l, w, min(r.Readable, room-total))
		total += n
	}
	if err := s.deliver(w, h); err != nil {
		return err
	}
	if broken != nil {
		return broken
	}
	return s.endTurn(i, total, lost)
}

// contended says that more than one lane waits to be read.
func (s *Lanes) contended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reading.Len() > 1
}

// endTurn looks whether a lane has more to read, nothing for now, or has ended.
func (s *Lanes) endTurn(i, total int, lost bool) error {
	l := &s.lanes[i]
	in := l.in
	s.mu.Lock()
	s.reading.Spent(i, max(total, 1))
	r := in.Ready()
	if !lost && !r.Reset && (r.Readable > 0 || !r.Ended) {
		if r.Readable <= 0 {
			s.reading.Remove(i)
		}
		s.mu.Unlock()
		return nil
	}
	s.reading.Remove(i)
	cut := !lost && !r.Reset && l.read.inside()
	s.partial -= cap(l.read.buf)
	l.read, l.in = laneReader{}, nil // the remote may begin another one
	s.mu.Unlock()
	_ = in.Close() // so that the connection forgets it
	if cut {
		return &CloseError{Code: CodeProtocolError, Reason: fmt.Sprintf("the stream of channel 0x%02x ended inside a message", l.id)}
	}
	return nil
}

// readSome reads once, at most readable bytes. lost says that the stream is gone.
func (s *Lanes) readSome(l *lane, w *laneWork, readable int) (n int, lost bool, err error) {
	r := &l.read
	if missing := r.length - len(r.buf); r.body && missing >= laneChunk/16 { // straight into the message
		want := min(missing, readable)
		if err := s.grow(l, want); err != nil {
			return 0, false, err
		}
		n, rerr := l.in.Read(r.buf[len(r.buf) : len(r.buf)+want])
		r.buf = r.buf[:len(r.buf)+n]
		if len(r.buf) == r.length {
			s.emit(l, w)
		}
		return n, rerr != nil, nil
	}
	chunk := laneChunk
	if r.hint > 0 {
		chunk = lanePeek
	}
	n, rerr := l.in.Read(w.chunk[:min(chunk, readable)])
	return n, rerr != nil, s.parse(l, w, w.chunk[:n])
}

// parse takes messages out of p.
func (s *Lanes) parse(l *lane, w *laneWork, p []byte) error {
	r := &l.read
	for len(p) > 0 {
		if !r.body {
			c := p[0]
			p = p[1:]
			r.length |= int(c&0x7f) << r.shift
			if r.shift += 7; c&0x80 != 0 {
				if r.shift > 28 {
					return &CloseError{Code: CodeProtocolError, Reason: fmt.Sprintf("channel 0x%02x: the length of a message has more than five bytes", l.id)}
				}
				continue
			}
			if r.length > l.maxMessage {
				return &CloseError{Code: CodeMessageTooBig, Reason: fmt.Sprintf("%d bytes on channel 0x%02x, which takes %d", r.length, l.id, l.maxMessage), Err: ErrMessageTooLarge}
			}
			r.body = true
			if r.length <= len(p) { // the whole message is at hand
				data := NewBuffer(r.length)
				copy(data, p)
				p = p[r.length:]
				w.add(l.id, data)
				*r = laneReader{}
			}
			continue
		}
		n := min(len(p), r.length-len(r.buf))
		if err := s.grow(l, n); err != nil {
			return err
		}
		r.buf = append(r.buf, p[:n]...)
		p = p[n:]
		if len(r.buf) == r.length {
			s.emit(l, w)
		}
	}
	return nil
}

// grow makes room for n more bytes of a message, which are at hand.
func (s *Lanes) grow(l *lane, n int) error {
	r := &l.read
	had, need := cap(r.buf), len(r.buf)+n
	if need <= had {
		return nil
	}
	size := min(max(need, 2*had, laneExact, r.hint), r.length)
	s.partial += BufferSize(size) - had
	if s.partial > s.cfg.MaxPartial {
		return &CloseError{Code: CodeMessageTooBig, Reason: fmt.Sprintf("unfinished messages hold more than %d bytes", s.cfg.MaxPartial)}
	}
	old := r.buf
	r.buf = append(NewBuffer(size)[:0], old...)
	FreeBuffer(old)
	return nil
}

// emit puts the message that is whole now among those to be delivered.
func (s *Lanes) emit(l *lane, w *laneWork) {
	s.partial -= cap(l.read.buf)
	w.add(l.id, l.read.buf)
	n := len(l.read.buf)
	l.read = laneReader{}
	if n >= laneExact {
		l.read.hint = min(n, laneHint)
	}
}

func (w *laneWork) add(channel byte, data []byte) {
	w.msgs = append(w.msgs, Message{channel, data})
}

// deliver hands over what there is, and gives w back. After Close it drops what still comes.
func (s *Lanes) deliver(w *laneWork, h Handler) error {
	var err error
	if len(w.msgs) > 0 && s.ctx.Err() == nil {
		s.receivedMessages.Add(uint64(len(w.msgs)))
		if err = h.Deliver(s.ctx, w.msgs); s.ctx.Err() != nil {
			err = nil
		}
	}
	w.giveBack()
	return err
}

// giveBack returns what was borrowed.
func (w *laneWork) giveBack() {
	clear(w.msgs)
	w.msgs = w.msgs[:0]
	if cap(w.msgs) > 4*laneDeliver { // a chunk of tiny messages
		w.msgs = make([]Message, 0, laneDeliver)
	}
	laneWorks.Put(w)
}
