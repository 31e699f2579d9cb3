package muxer

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
)

const (
	// laneBatch is what the writer takes from one lane at once: with the headers that come before it 64 KiB, in one message of Noise.
	laneBatch = 64<<10 - 64
	// laneQuantum is how much of one lane is written in a row while other lanes wait.
	laneQuantum = 16 << 10
	// laneBacklog is how much may wait for the connection. What is beyond that is not yet chosen.
	laneBacklog = 128 << 10
)

var laneBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, laneBatch+1024)
	return &b
}}

// offer lets a lane take part in the choice of the next one, if it has something to send and the remote takes it. The mutex is held.
func (s *Lanes) offer(i int) {
	l := &s.lanes[i]
	if l.singly {
		s.offerSingle(i)
		return
	}
	if l.empty() || l.refused != nil || l.out != nil && l.out.Ready().Writable == 0 {
		return
	}
	s.writing.Add(i)
	s.wakeWriter()
}

// wakeWriter lets the writer look again, or starts it. The mutex is held.
func (s *Lanes) wakeWriter() {
	if s.writer.on {
		s.wake.Signal()
		return
	}
	if !s.running || s.shutting {
		return
	}
	s.employ(&s.writer)
	s.wg.Go(s.writeLoop)
}

// writeLoop is the writer.
func (s *Lanes) writeLoop() {
	var buf *[]byte
	defer func() {
		if buf != nil {
			laneBuffers.Put(buf)
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() { s.writer.on = false }()
	for {
		for !s.shutting && (s.writing.Len() == 0 || s.now.busy || s.streams.Backlog() >= laneBacklog) {
			if s.closing && !s.saidBye && s.flushed() {
				s.farewell()
				continue
			}
			if buf != nil && s.writing.Len() == 0 {
				laneBuffers.Put(buf)
				buf = nil
			}
			if s.writer.retire && s.writing.Len() == 0 && !s.closing {
				return
			}
			s.wake.Wait()
		}
		if s.shutting {
			return
		}
		s.writer.busy()
		if buf == nil {
			buf = laneBuffers.Get().(*[]byte)
		}
		s.writeLane(s.writing.Next(), (*buf)[:0])
	}
}

// flushed says that nothing is queued. The mutex is held.
func (s *Lanes) flushed() bool {
	for i := range s.lanes {
		if l := &s.lanes[i]; !l.empty() && l.refused == nil {
			return false
		}
	}
	return s.single.workers == 0 && s.streams.Backlog() == 0 && !s.now.busy
}

// farewell tells the remote that the session ends. It closes the connection when it has read all that was sent; the grace bounds the wait. The
// mutex is held, except while the connection takes the message.
func (s *Lanes) farewell() {
	s.saidBye = true
	var ce *CloseError
	errors.As(s.err, &ce)
	s.mu.Unlock()
	s.streams.Goodbye(ce.Code, ce.Reason, s.cfg.CloseGrace)
	s.mu.Lock()
}

// writeLane writes a piece of one lane. The mutex is held, except while the connection is busy.
func (s *Lanes) writeLane(i int, buf []byte) {
	l := &s.lanes[i]
	if l.out == nil {
		out, err := s.open(i)
		if err != nil {
			s.refuse(i, err)
			return
		}
		l.out, l.answer = out, multistream.NewAnswered(l.name)
		out.Watch(func() { s.outChanged(i) })
		buf = append(buf, multistream.Propose(l.name)...)
	}
	room := laneBatch
	if s.writing.Len() > 1 {
		room = laneQuantum
	}
	before := len(buf)
	room = min(room, l.out.Ready().Writable-before)
	buf, piece, messages := l.take(buf, room)
	s.writing.Spent(i, len(buf)+len(piece))
	if l.empty() {
		s.writing.Remove(i)
	}
	s.admit(i)
	s.writer.writing = true
	s.mu.Unlock()

	var err error
	if len(buf) > 0 {
		err = l.out.WriteReady(buf)
	}
	if len(piece) > 0 { // then buf is empty
		err = l.out.WriteReady(piece)
	}
	s.mu.Lock()
	s.writer.writing = false
	s.sentMessages.Add(uint64(messages))
	switch {
	case err != nil:
		s.refuse(i, err)
	case l.out.Ready().Writable == 0:
		s.writing.Remove(i)
		s.offer(i) // there may be room again just now
	}
}

// admit queues the messages of waiting senders for which there is room now. The mutex is held.
func (s *Lanes) admit(i int) {
	l := &s.lanes[i]
	for w := l.waiting; w != nil && l.fits(len(w.msg)); w = l.waiting {
		l.leave(w)
		s.queue(i, w.msg)
		w.done = true
		close(w.ready)
	}
}

// open opens a lane's stream. The mutex is held, except while the connection is busy.
func (s *Lanes) open(i int) (RawStream, error) {
	s.mu.Unlock()
	defer s.mu.Lock()
	return s.streams.Open(s.life)
}

// refuse takes a lane out of service: the remote does not take its stream. The session goes on. The mutex is held.
func (s *Lanes) refuse(i int, err error) {
	l := &s.lanes[i]
	if l.refused != nil {
		return
	}
	l.refused = fmt.Errorf("lanes: the remote does not take channel 0x%02x (%s): %w: %w", l.id, l.name, ErrUnknownChannel, err)
	l.laneQueue.abandon(l.refused)
	s.dropped.Add(uint64(len(l.msgs) - l.head))
	l.laneQueue.clear()
	s.writing.Remove(i)
	if l.singly {
		s.single.queue.Remove(i)
	}
	if s.err == nil && s.input == nil {
		s.log.Debug("a channel is refused", slog.String("channel", l.name), slog.Any("error", err))
	}
	s.wake.Signal()
}

// outChanged is called by the connection when our stream of a lane has a larger window, or bytes to read, or has ended.
func (s *Lanes) outChanged(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := &s.lanes[i]
	s.offer(i)
	if r := l.out.Ready(); !l.look && (r.Readable > 0 || r.Reset) {
		l.look = true
		s.wakeReader()
	}
}

// readAnswer looks at what the remote says on our stream of a lane: at first whether it takes it, then nothing. Run's goroutine.
func (s *Lanes) readAnswer(i int) {
	l := &s.lanes[i]
	var buf [256]byte
	for {
		r := l.out.Ready()
		var err error
		switch {
		case r.Reset:
			err = errors.New("it has reset the stream")
		case r.Readable == 0:
			return
		default:
			var n int
			if n, err = l.out.Read(buf[:min(len(buf), r.Readable)]); n > 0 && l.answer != nil {
				var done bool
				if done, err = l.answer.Take(buf[:n]); done {
					l.answer = nil
				}
			}
		}
		if err != nil {
			s.mu.Lock()
			s.refuse(i, err)
			s.mu.Unlock()
			_ = l.out.Reset(CodeProtocolError)
			return
		}
	}
}
