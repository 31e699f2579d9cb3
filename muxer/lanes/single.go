package lanes

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// Some nodes send a channel's messages one a stream: the length as a uvarint, the message, the end. Such streams have
// no order. They are taken beside the long-lived ones (Config.Single names their protocols), and used towards remotes
// that know no others (SetChannels).

const (
	// maxSingles is how many such streams we read at once. The others wait within the limits of the connection.
	maxSingles = 64
	// maxOwnSingles is how many of ours are open. The other messages wait in their lane's queue. go-libp2p takes 64
	// streams of a protocol from one peer, resets those beyond, and counts a stream for a moment after its end.
	maxOwnSingles = 32
	// singleIdle is how long the remote may be silent inside a message.
	singleIdle = 10 * time.Second
	// firstPause and lastPause bound how long a message waits that the remote had no room for: 10 to 640 ms, doubled
	// each time, about 1.3 s in all. Then it is lost.
	firstPause = 10 * time.Millisecond
	lastPause  = 640 * time.Millisecond
	// slowestSingle is the rate, in bytes a second, below which we give up a stream of ours that the remote reads
	// slowly.
	slowestSingle = 64 << 10
)

var errBehind = errors.New("bytes behind a message")

// singles are the streams of one message each. The session's mutex guards queue and workers.
type singles struct {
	turn    sync.Mutex  // held from the choice of a message until its stream is open: queues keep their order
	queue   *muxer.Fair // lanes with something to send singly; nil if none sends singly
	workers int         // goroutines that send

	slots chan struct{} // holds a value for each stream that is read
}

func (s *singles) init(lanes []lane, weights []int) {
	for i := range lanes {
		if lanes[i].single != "" && s.slots == nil {
			s.slots = make(chan struct{}, maxSingles)
		}
		if lanes[i].singly && s.queue == nil {
			s.queue = muxer.NewFair(weights)
		}
	}
}

func (s *singles) remove(i int) {
	if s.queue != nil {
		s.queue.Remove(i)
	}
}

// offerSingle lets a lane's messages be sent. The mutex is held.
func (s *Session) offerSingle(i int) {
	s.singles.queue.Add(i)
	if s.singles.workers < maxOwnSingles {
		s.singles.workers++
		s.wg.Go(s.sendSingles)
	}
}

// sendSingles sends messages until none is left.
func (s *Session) sendSingles() {
	for s.sendNext() {
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.singles.workers--
	s.checkFlushed()
}

// sendNext sends the message that is due. It returns false if there is none.
func (s *Session) sendNext() bool {
	s.singles.turn.Lock()
	i, msg := s.takeSingle()
	if i < 0 {
		s.singles.turn.Unlock()
		return false
	}
	raw, err := s.streams.Open(s.life)
	s.singles.turn.Unlock()
	for pause := firstPause; ; pause *= 2 {
		if err == nil {
			err = sendSingle(raw, s.lanes[i].single, msg, s.cfg.Negotiation)
		}
		if !isFull(err) || pause > lastPause || !s.pause(pause) {
			break
		}
		raw, err = s.streams.Open(s.life)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.lanes[i].queue
	if err != nil {
		q.Lost(msg)
	}
	switch {
	case err == nil:
		q.Done(msg)
		s.sentMessages.Add(1)
	case errors.Is(err, multistream.ErrRefused):
		s.refuse(i, err)
	default:
		s.lost.Add(1)
		if s.err == nil {
			s.cfg.Logger.Debug("a message was not taken", slog.String("channel", s.lanes[i].single),
				slog.Any("error", err))
		}
	}
	return true
}

// isFull reports whether the remote has refused a stream because it has too many, before it read the message.
func isFull(err error) bool {
	r, ok := errors.AsType[*muxer.ResetError](err)
	return ok && r.Remote && r.Code.Code() == muxer.CodeTooManyPeers
}

// pause waits. It returns false if the session ends meanwhile.
func (s *Session) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.life.Done():
		return false
	}
}

// takeSingle takes the message that is due; -1 if there is none.
func (s *Session) takeSingle() (lane int, msg []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, _ := s.singles.queue.Next()
	if i < 0 || s.shut {
		return -1, nil
	}
	q := s.lanes[i].queue
	msg = q.TakeWhole()
	s.singles.queue.Spent(i, len(msg))
	if q.Empty() {
		s.singles.queue.Remove(i)
	}
	return i, msg
}

// sendSingle sends one message and waits until the remote has read it. Only then is its stream out of the remote's
// count, and only then is it certain that there was room for it: go-libp2p answers a proposal before it looks.
func sendSingle(raw muxer.RawStream, protocol string, msg []byte, negotiation time.Duration) error {
	_ = raw.SetDeadline(time.Now().Add(negotiation + time.Duration(len(msg)/slowestSingle)*time.Second))
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
		_ = raw.Reset(muxer.CodeUnknown)
		return err
	}
	if _, err := raw.Read(make([]byte, 1)); isFull(err) {
		return err
	}
	return raw.Close()
}

// readSingle reads the message of a stream and delivers it.
func (s *Session) readSingle(i int, st *stream) {
	defer s.reading.Done()
	select {
	case s.singles.slots <- struct{}{}:
		defer func() { <-s.singles.slots }()
	case <-s.life.Done():
		return
	}
	r := &reader{s: s, l: &s.lanes[i], in: patient{st.RawStream}, ahead: st.ahead}
	data, err := r.message()
	if err == nil && len(r.ahead) > 0 {
		err = errBehind
	}
	switch {
	case err == nil:
		_ = st.Close()
		if err := s.deliver(r.l, []muxer.Message{{Channel: r.l.ID, Data: data}}); err != nil {
			s.fail(err)
		}
		return
	case errors.Is(err, muxer.ErrMessageTooLarge):
		s.fail(err)
	case s.life.Err() == nil:
		s.cfg.Logger.Debug("a message did not arrive", slog.String("channel", r.l.Name), slog.Any("error", err))
	}
	_ = st.Reset(muxer.CodeProtocolError)
}

// patient is a stream whose remote may be silent for at most singleIdle.
type patient struct{ muxer.RawStream }

func (p patient) Read(b []byte) (int, error) {
	_ = p.SetReadDeadline(time.Now().Add(singleIdle))
	return p.RawStream.Read(b)
}
