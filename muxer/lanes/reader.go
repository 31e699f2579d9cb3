package lanes

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	// smallRead is the buffer that a reader waits with: an idle lane holds no more.
	smallRead = 512
	// chunkSize is how much is read at once while small reads fill their buffer.
	chunkSize = 64 << 10
	// directRead is how much of a message must be missing to be read straight into its place.
	directRead = 4 << 10
	// deliverMessages is the most messages in one Deliver.
	deliverMessages = 256
	// exactAlloc is how much memory the remote's word alone can claim. Beyond that, memory is claimed as bytes arrive.
	exactAlloc = 16 << 10
	// hintMax bounds what the size of a channel's last message makes us claim for its next one.
	hintMax = 1 << 20
)

// reader takes the messages of one lane out of its stream. One goroutine uses it.
type reader struct {
	s *Session
	l *lane

	small [smallRead]byte
	chunk *[chunkSize]byte // borrowed while bytes flow, or nil
	full  bool             // the last read has filled its buffer: more is likely to be there

	batch *[deliverMessages]muxer.Message // whole messages; borrowed while there are some, or nil
	whole int                             // how many

	head    [binary.MaxVarintLen32]byte // the length of the next message
	headN   int                         // bytes of it that have come
	inside  bool                        // the length is whole: a message is being received
	length  int
	buf     []byte // the message, so far
	claimed int    // memory that counts for it
	hint    int    // size of the last message, if that was a long one
}

var (
	chunks  = sync.Pool{New: func() any { return new([chunkSize]byte) }}
	batches = sync.Pool{New: func() any { return new([deliverMessages]muxer.Message) }}
)

// readLane reads what the remote sends on a lane's stream, until that ends.
func (s *Session) readLane(i int, in *stream) {
	defer s.reading.Done()
	l := &s.lanes[i]
	s.mu.Lock()
	second := l.in
	l.in = true
	s.mu.Unlock()
	if second { // it would break the order of the channel
		_ = in.Reset(muxer.CodeProtocolError)
		return
	}
	r := &reader{s: s, l: l}
	cut := r.run(io.MultiReader(bytes.NewReader(in.ahead), in.RawStream))
	in.ahead = nil
	r.release()
	s.partial.Release(r.claimed)
	s.mu.Lock()
	l.in = false // the remote may open another one
	s.cut = s.cut || cut
	s.mu.Unlock()
	_ = in.Close()
}

// run reads until the stream ends. It reports whether the connection ended inside a message.
func (r *reader) run(in io.Reader) (cut bool) {
	for {
		err, broken := r.read(in)
		switch {
		case broken != nil:
			r.s.fail(broken)
			return false
		case err == nil:
			continue
		case r.headN == 0 && !r.inside:
			return false
		case err == io.EOF:
			r.s.fail(&muxer.CloseError{Code: muxer.CodeProtocolError,
				Reason: fmt.Sprintf("the stream of channel 0x%02x ended inside a message", r.l.ID)})
			return false
		}
		return errors.Is(err, io.ErrUnexpectedEOF)
	}
}

// read reads once, and delivers the messages that are whole then. err is the stream's, broken ends the session.
func (r *reader) read(in io.Reader) (err, broken error) {
	var n int
	if r.inside && r.length-len(r.buf) >= directRead { // straight into the message
		if broken = r.grow(1); broken != nil {
			return nil, broken
		}
		n, err = in.Read(r.buf[len(r.buf):min(cap(r.buf), r.length)])
		r.buf = r.buf[:len(r.buf)+n]
	} else {
		p := r.buffer()
		n, err = in.Read(p)
		r.full = n == len(p)
		broken = r.parse(p[:n])
	}
	if broken == nil && r.inside {
		broken = r.finish()
	}
	if derr := r.deliver(); derr != nil {
		broken = derr
	}
	return err, broken
}

// buffer is what the next bytes are read into, whatever they are.
func (r *reader) buffer() []byte {
	if !r.full {
		if r.chunk != nil {
			r.release()
		}
		return r.small[:]
	}
	if r.chunk == nil {
		r.chunk = chunks.Get().(*[chunkSize]byte)
	}
	return r.chunk[:]
}

// release gives the chunk back.
func (r *reader) release() {
	if r.chunk != nil {
		chunks.Put(r.chunk)
		r.chunk = nil
	}
}

// parse takes messages out of p.
func (r *reader) parse(p []byte) (err error) {
	for len(p) > 0 {
		if !r.inside {
			if p, err = r.parseLength(p); err != nil || !r.inside {
				return err
			}
			if r.length <= len(p) { // the whole message is at hand
				data := muxer.NewBuffer(r.length)
				p = p[copy(data, p):]
				r.inside = false
				if err := r.add(data); err != nil {
					return err
				}
				continue
			}
		}
		n := min(len(p), r.length-len(r.buf))
		if err := r.grow(n); err != nil {
			return err
		}
		r.buf = append(r.buf, p[:n]...)
		p = p[n:]
		if err := r.finish(); err != nil {
			return err
		}
	}
	return nil
}

// parseLength takes the length of a message, or a part of it.
func (r *reader) parseLength(p []byte) (rest []byte, err error) {
	for i, c := range p {
		r.head[r.headN] = c
		r.headN++
		switch {
		case c < 0x80:
			length, _ := binary.Uvarint(r.head[:r.headN])
			if r.headN = 0; length > uint64(r.l.MaxMessage) {
				return nil, tooLarge(r.l, length)
			}
			r.inside, r.length = true, int(length)
			return p[i+1:], nil
		case r.headN == len(r.head):
			return nil, &muxer.CloseError{Code: muxer.CodeProtocolError,
				Reason: fmt.Sprintf("channel 0x%02x: the length of a message has more than five bytes", r.l.ID)}
		}
	}
	return nil, nil
}

func tooLarge(l *lane, length uint64) error {
	return &muxer.CloseError{Code: muxer.CodeMessageTooBig, Err: muxer.ErrMessageTooLarge,
		Reason: fmt.Sprintf("%d bytes on channel 0x%02x, which takes %d", length, l.ID, l.MaxMessage)}
}

// grow makes room for n more bytes of the message.
func (r *reader) grow(n int) error {
	had, need := cap(r.buf), len(r.buf)+n
	if need <= had {
		return nil
	}
	size := min(max(need, 2*had, exactAlloc, r.hint), r.length)
	cost := muxer.BufferSize(size)
	if err := r.s.partial.Claim(cost - r.claimed); err != nil {
		return err
	}
	r.claimed = cost
	old := r.buf
	r.buf = append(muxer.NewBuffer(size)[:0], old...)
	muxer.FreeBuffer(old)
	return nil
}

// finish adds the message that is being received to the batch, if it is whole.
func (r *reader) finish() error {
	if !r.inside || len(r.buf) < r.length {
		return nil
	}
	data := r.buf
	r.s.partial.Release(r.claimed)
	r.inside, r.buf, r.claimed, r.hint = false, nil, 0, 0
	if len(data) >= exactAlloc {
		r.hint = min(len(data), hintMax)
	}
	return r.add(data)
}

// add adds a message to the batch, and delivers a full one.
func (r *reader) add(data []byte) error {
	if r.batch == nil {
		r.batch = batches.Get().(*[deliverMessages]muxer.Message)
	}
	r.batch[r.whole] = muxer.Message{Channel: r.l.ID, Data: data}
	if r.whole++; r.whole == deliverMessages {
		return r.deliver()
	}
	return nil
}

// deliver hands over the batch.
func (r *reader) deliver() error {
	if r.batch == nil {
		return nil
	}
	msgs := r.batch[:r.whole]
	err := r.s.deliver(r.l, msgs)
	clear(msgs)
	batches.Put(r.batch)
	r.batch, r.whole = nil, 0
	return err
}

// deliver hands messages of a lane to the handler. After Close it drops what still comes, and reading goes on, so that
// the remote can read what we have queued.
func (s *Session) deliver(l *lane, msgs []muxer.Message) error {
	l.delivering.Lock()
	defer l.delivering.Unlock()
	if s.ctx.Err() != nil {
		return nil
	}
	s.established() // who sends messages has accepted the link
	s.receivedMessages.Add(uint64(len(msgs)))
	if err := s.handler.Deliver(s.ctx, msgs); s.ctx.Err() == nil {
		return err
	}
	return nil
}
