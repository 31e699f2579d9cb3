package lanes

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"sync"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// batch is what the writer takes from one lane at once: with the headers ahead of it 64 KiB, in one message of
	// Noise.
	batch = 64<<10 - 64
	// quantum is how much of one lane is written in a row while other lanes wait.
	quantum = 16 << 10
	// directPiece is how long a piece of a message must be to be written from where it lies.
	directPiece = 16 << 10
	// leastRoom is the room that a lane needs to be written: the longest length, and a byte.
	leastRoom = 6
)

var writeBuffers = sync.Pool{New: func() any {
	b := make([]byte, 0, batch+1024)
	return &b
}}

// offer lets the writer write a lane, if it has something to send and the remote has room. The mutex is held.
func (s *Session) offer(i int) {
	l := &s.lanes[i]
	switch {
	case !s.running || s.shut || l.refused || l.queue.Empty():
	case l.singly:
		s.offerSingle(i)
	case l.out == nil || l.out.Writable() >= leastRoom:
		s.fair.Add(i)
		if !s.writer {
			s.writer = true
			s.wg.Go(s.write)
		}
		s.work.Signal()
	}
}

// write is the writer: it writes lanes, the one that is due first, and waits while none can be written. It stays to the
// end, because each new goroutine would grow its stack for the encryption.
func (s *Session) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.shut {
		i, alone := s.fair.Next()
		if s.writing = i >= 0; !s.writing {
			if s.err != nil {
				s.checkFlushed()
			}
			s.work.Wait()
		} else if err := s.writeLane(i, alone); err != nil {
			s.refuse(i, err)
		}
	}
}

// writeLane writes a piece of one lane, a large one if it is alone. The mutex is held, except while the connection is
// busy.
func (s *Session) writeLane(i int, alone bool) error {
	l := &s.lanes[i]
	pooled := writeBuffers.Get().(*[]byte)
	defer writeBuffers.Put(pooled)
	buf := (*pooled)[:0]
	if l.out == nil {
		out, err := s.openLane(i)
		if err != nil || l.refused { // the remote may have refused it while the mutex was not held
			return err
		}
		l.out = out
		buf = append(buf, multistream.Propose(l.Name)...)
	}
	room := batch
	if !alone {
		room = quantum
	}
	buf, piece, messages := l.take(buf, min(room, l.out.Writable()-len(buf)))
	s.fair.Spent(i, len(buf)+len(piece))
	s.mu.Unlock()
	var err error
	if len(buf) > 0 {
		_, err = l.out.Write(buf)
	}
	if len(piece) > 0 && err == nil {
		_, err = l.out.Write(piece)
	}
	s.mu.Lock()
	s.sentMessages.Add(uint64(messages))
	if err == nil && (l.queue.Empty() || l.out.Writable() < leastRoom) {
		s.fair.Remove(i)
		s.offer(i) // there may be room again by now
	}
	return err
}

// take moves up to room bytes of a lane's messages, with their lengths, behind buf. A long piece of a message with
// nothing ahead of it comes back uncopied instead: nobody changes a message that was sent. messages is how many ended.
func (l *lane) take(buf []byte, room int) (out, piece []byte, messages int) {
	for q := l.queue; !q.Empty(); {
		msg := q.First()
		if !l.begun {
			if room < leastRoom {
				break
			}
			before := len(buf)
			buf = binary.AppendUvarint(buf, uint64(len(msg)))
			room -= len(buf) - before
			l.begun = true
		}
		n := min(len(msg), room)
		if n >= directPiece && len(buf) == 0 {
			piece = msg[:n]
		} else {
			buf = append(buf, msg[:n]...)
		}
		room -= n
		if !q.Take(n) {
			break
		}
		l.begun = false
		messages++
		if piece != nil {
			break
		}
	}
	return buf, piece, messages
}

// openLane opens a lane's stream. The mutex is held, except while the connection is busy.
func (s *Session) openLane(i int) (muxer.RawStream, error) {
	s.mu.Unlock()
	defer s.mu.Lock()
	out, err := s.streams.Open(s.life)
	if err != nil {
		return nil, err
	}
	out.NotifyWritable(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.lanes[i].out != nil {
			s.offer(i)
		}
	})
	s.wg.Go(func() { s.awaitAnswer(i, out) })
	return out, nil
}

// awaitAnswer waits until the remote takes our stream of a lane, or does not. The writer does not wait for that.
func (s *Session) awaitAnswer(i int, out muxer.RawStream) {
	if err := multistream.Await(out, s.lanes[i].Name); err != nil {
		_ = out.Reset(muxer.CodeProtocolError)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.refuse(i, err)
	}
}

// refuse takes a lane out of service: the remote does not take its messages. The session goes on. The mutex is held.
func (s *Session) refuse(i int, err error) {
	l := &s.lanes[i]
	if l.refused {
		return
	}
	l.refused = true
	s.queues.CloseChannel(i, fmt.Errorf("the remote does not take channel 0x%02x (%s): %w: %w",
		l.ID, l.Name, muxer.ErrUnknownChannel, err))
	s.fair.Remove(i)
	s.singles.remove(i)
	if s.err == nil && s.input == nil {
		s.cfg.Logger.Debug("a channel is refused", slog.String("channel", l.Name), slog.Any("error", err))
	}
	s.checkFlushed()
}
