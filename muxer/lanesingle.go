package muxer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
)

// Some nodes send a channel's messages one a stream: the length as a uvarint, the message, the end. There is no order between the streams. Such streams are
// taken beside the long-lived ones (LanesConfig.Single names their protocols), and used towards remotes that know no others (SetChannels).

const (
	// maxSingles is how many such streams we read at once, and how many we have open. The others wait: those of the remote in the limits of the connection, ours in
	// their lane's queue.
	maxSingles = 64
	// singleIdle is how long the remote may be silent inside a message.
	singleIdle = 10 * time.Second
	// slowestSingle is the rate, in bytes a second, below which we give up a stream of ours that the remote reads slowly.
	slowestSingle = 64 << 10
)

// singles is what a session has of them. The session's mutex guards it, but for turn and slots.
type singles struct {
	turn    sync.Mutex // held from the choice of a message until its stream is open: streams are opened in the order of the queues
	queue   *Fair      // lanes with something to send singly
	workers int        // goroutines that send

	slots   chan struct{} // a place for each stream that is read
	reading int           // streams of the remote that are not yet done with
	held    int           // bytes of messages that were not yet delivered
	whole   []*wholeMessage
}

// wholeMessage is a received message on its way to Run.
type wholeMessage struct {
	Message
	taken chan struct{} // closed once it was delivered
}

// errSingleBudget says that the remote's messages hold too much memory.
var errSingleBudget = errors.New("unfinished messages hold too much")

// offerSingle lets a lane's messages be sent, if there are any. The mutex is held.
func (s *Lanes) offerSingle(i int) {
	l := &s.lanes[i]
	if l.empty() || l.refused != nil || !s.running || s.shutting {
		return
	}
	s.single.queue.Add(i)
	if s.single.workers < maxSingles {
		s.single.workers++
		s.wg.Go(s.sendSingles)
	}
}

// sendSingles sends messages until none is left.
func (s *Lanes) sendSingles() {
	for {
		s.single.turn.Lock()
		s.mu.Lock()
		i := s.single.queue.Next()
		if i < 0 || s.shutting {
			s.single.workers--
			s.wake.Signal()
			s.mu.Unlock()
			s.single.turn.Unlock()
			return
		}
		l := &s.lanes[i]
		msg := l.takeWhole()
		s.single.queue.Spent(i, len(msg))
		if l.empty() {
			s.single.queue.Remove(i)
		}
		s.mu.Unlock()
		raw, err := s.streams.Open(s.life)
		s.single.turn.Unlock()
		if err == nil {
			err = s.sendSingle(l.single, raw, msg)
		}

		s.mu.Lock()
		l.sentWhole(msg)
		switch {
		case err == nil:
			s.sentMessages.Add(1)
		case errors.Is(err, multistream.ErrRefused):
			s.refuse(i, err)
		default:
			s.dropped.Add(1)
			if s.err == nil {
				s.log.Debug("a message was not taken", slog.String("channel", l.single), slog.Any("error", err))
			}
		}
		s.admit(i)
		s.mu.Unlock()
	}
}

// sendSingle sends one message and waits until the remote has taken notice of its stream.
func (s *Lanes) sendSingle(protocol string, raw RawStream, msg []byte) error {
	_ = raw.SetDeadline(time.Now().Add(s.cfg.Negotiation + time.Duration(len(msg)/slowestSingle)*time.Second))
	b := binary.AppendUvarint(multistream.Propose(protocol), uint64(len(msg)))
	var err error
	if len(msg) < directPiece {
		_, err = raw.Write(append(b, msg...))
	} else if _, err = raw.Write(b); err == nil {
		_, err = raw.Write(msg)
	}
	if err == nil {
		err = raw.CloseWrite()
	}
	if err == nil {
		err = multistream.Await(raw, protocol)
	}
	if err != nil {
		_ = raw.Reset(CodeUnknown)
		return err
	}
	_ = raw.Close()
	return nil
}

// receiveSingle reads the message of a stream and hands it to Run. It counts in s.single.reading already.
func (s *Lanes) receiveSingle(i int, raw RawStream) {
	defer func() {
		s.mu.Lock()
		s.single.reading--
		s.wakeAtEnd()
		s.mu.Unlock()
	}()
	select {
	case s.single.slots <- struct{}{}:
		defer func() { <-s.single.slots }()
	case <-s.life.Done():
		return
	}
	l := &s.lanes[i]
	data, claimed, err := s.readSingle(l, raw)
	defer s.claim(-claimed)
	if err != nil {
		_ = raw.Reset(CodeProtocolError)
		if errors.Is(err, ErrMessageTooLarge) {
			s.fail(err)
		} else if s.life.Err() == nil {
			s.log.Debug("a message did not arrive", slog.String("channel", l.name), slog.Any("error", err))
		}
		return
	}
	_ = raw.Close()
	m := &wholeMessage{Message{l.id, data}, make(chan struct{})}
	s.mu.Lock()
	s.single.whole = append(s.single.whole, m)
	s.wakeReader()
	s.mu.Unlock()
	select {
	case <-m.taken:
	case <-s.life.Done():
	}
}

// claim counts memory of unfinished messages.
func (s *Lanes) claim(n int) error {
	if n == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > 0 && s.single.held+n > s.cfg.MaxPartial {
		return errSingleBudget
	}
	s.single.held += n
	return nil
}

// readSingle reads the message of a stream. Memory is claimed as bytes arrive; claimed is how much.
func (s *Lanes) readSingle(l *lane, raw io.Reader) (data []byte, claimed int, err error) {
	wait := func() {
		if d, ok := raw.(interface{ SetReadDeadline(time.Time) error }); ok {
			_ = d.SetReadDeadline(time.Now().Add(singleIdle))
		}
	}
	wait()
	var head [512]byte
	n, size := 0, 0
	var length uint64
	for size == 0 {
		var got int
		got, err = raw.Read(head[n:])
		n += got
		switch length, size = binary.Uvarint(head[:n]); {
		case size < 0 || size > 5 || size == 0 && n >= 5:
			return nil, 0, fmt.Errorf("the length of a message has more than five bytes")
		case size == 0 && err != nil:
			return nil, 0, unexpected(err)
		}
	}
	if length > uint64(l.maxMessage) {
		return nil, 0, &CloseError{Code: CodeMessageTooBig, Reason: fmt.Sprintf("%d bytes on channel 0x%02x, which takes %d", length, l.id, l.maxMessage), Err: ErrMessageTooLarge}
	}
	whole, first := int(length), head[size:n]
	if len(first) > whole {
		return nil, 0, fmt.Errorf("%d bytes behind a message", len(first)-whole)
	}
	buf := []byte{}
	for {
		if need := max(len(first), 1); len(buf) < whole && cap(buf)-len(buf) < need {
			want := min(max(2*cap(buf), laneExact), whole)
			if err := s.claim(BufferSize(want) - cap(buf)); err != nil {
				return nil, claimed, err
			}
			claimed += BufferSize(want) - cap(buf)
			old := buf
			buf = append(NewBuffer(want)[:0], old...)
			FreeBuffer(old)
		}
		buf = append(buf, first...)
		first = nil
		if len(buf) == whole {
			return buf, claimed, nil
		}
		if err != nil {
			return nil, claimed, unexpected(err)
		}
		wait()
		var got int
		got, err = raw.Read(buf[len(buf):min(cap(buf), whole)])
		buf = buf[:len(buf)+got]
	}
}

// unexpected is err, or what io.EOF means inside a message.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// deliverWhole hands over the messages that have come singly. Run's goroutine.
func (s *Lanes) deliverWhole(h Handler) error {
	s.mu.Lock()
	whole := s.single.whole
	s.single.whole = nil
	s.mu.Unlock()
	w := laneWorks.Get().(*laneWork)
	for _, m := range whole {
		w.add(m.Channel, m.Data)
	}
	err := s.deliver(w, h)
	for _, m := range whole {
		close(m.taken)
	}
	return err
}
