package lanes

import (
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

// reader takes messages of a lane out of a stream. One goroutine uses it.
type reader struct {
	s  *Session
	l  *lane
	in io.Reader

	small [smallRead]byte
	chunk *[chunkSize]byte // borrowed while bytes flow, or nil
	full  bool             // the last read has filled its buffer: more is likely to be there
	ahead []byte           // what was read and is not yet taken
	err   error            // why the stream gives no more

	batch *[deliverMessages]muxer.Message // whole messages; borrowed while there are some, or nil
	whole int                             // how many
	hint  int                             // size of the last message, if that was a long one
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
	r := &reader{s: s, l: l, in: in.RawStream, ahead: in.ahead}
	in.ahead = nil
	cut := r.run()
	if r.chunk != nil {
		chunks.Put(r.chunk)
	}
	s.mu.Lock()
	l.in = false // the remote may open another one
	s.cut = s.cut || cut
	s.mu.Unlock()
	_ = in.Close()
}

// run delivers messages until the stream ends. It reports whether the connection ended inside a message.
func (r *reader) run() (cut bool) {
	var err error
	inside := false
	for err == nil {
		if inside = len(r.ahead) > 0; !inside {
			err = r.fill()
			continue
		}
		var data []byte
		if data, err = r.message(); err != nil {
			break
		}
		if r.batch == nil {
			r.batch = batches.Get().(*[deliverMessages]muxer.Message)
		}
		r.batch[r.whole] = muxer.Message{Channel: r.l.ID, Data: data}
		if r.whole++; r.whole == deliverMessages {
			err = r.deliver()
		}
	}
	switch derr := r.deliver(); {
	case derr != nil:
		r.s.fail(derr)
	case r.err == nil:
		r.s.fail(err)
	case inside && r.err == io.EOF:
		r.s.fail(&muxer.CloseError{Code: muxer.CodeProtocolError,
			Reason: fmt.Sprintf("the stream of channel 0x%02x ended inside a message", r.l.ID)})
	default:
		cut = inside && errors.Is(r.err, io.ErrUnexpectedEOF)
	}
	return cut
}

// message reads a message: its length as a uvarint, and so many bytes. Memory is claimed as they arrive.
func (r *reader) message() (data []byte, err error) {
	n, err := binary.ReadUvarint(r)
	switch {
	case err != nil && r.err == nil:
		return nil, &muxer.CloseError{Code: muxer.CodeProtocolError, Err: err,
			Reason: fmt.Sprintf("the length of a message on channel 0x%02x", r.l.ID)}
	case err != nil:
		return nil, err
	case n > uint64(r.l.MaxMessage):
		return nil, &muxer.CloseError{Code: muxer.CodeMessageTooBig, Err: muxer.ErrMessageTooLarge,
			Reason: fmt.Sprintf("%d bytes on channel 0x%02x, which takes %d", n, r.l.ID, r.l.MaxMessage)}
	}
	length, claimed := int(n), 0
	if length <= len(r.ahead) { // the whole message is at hand
		data = muxer.NewBuffer(length)
		r.ahead = r.ahead[copy(data, r.ahead):]
		return data, nil
	}
	defer func() { r.s.partial.Release(claimed) }()
	for len(data) < length {
		if len(data) == cap(data) {
			size := min(max(2*len(data), exactAlloc, r.hint), length)
			cost := muxer.BufferSize(size)
			if err := r.s.partial.Claim(cost - claimed); err != nil {
				return nil, err
			}
			claimed = cost
			old := data
			data = append(muxer.NewBuffer(size)[:0], old...)
			muxer.FreeBuffer(old)
		}
		n, err := r.Read(data[len(data):min(cap(data), length)])
		if data = data[:len(data)+n]; err != nil {
			return nil, err
		}
	}
	r.hint = 0
	if length >= exactAlloc {
		r.hint = min(length, hintMax)
	}
	return data, nil
}

// ReadByte implements io.ByteReader.
func (r *reader) ReadByte() (byte, error) {
	if len(r.ahead) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	b := r.ahead[0]
	r.ahead = r.ahead[1:]
	return b, nil
}

// Read implements io.Reader. It returns at least one byte, or an error.
func (r *reader) Read(p []byte) (int, error) {
	if len(r.ahead) == 0 {
		if len(p) >= directRead {
			return r.receive(p)
		}
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.ahead)
	r.ahead = r.ahead[n:]
	return n, nil
}

// fill reads ahead.
func (r *reader) fill() error {
	buf := r.small[:]
	switch {
	case r.full && r.hint > 0: // after a long message another one is likely, which is better read into its place
	case r.full && r.chunk == nil:
		r.chunk = chunks.Get().(*[chunkSize]byte)
		buf = r.chunk[:]
	case r.full:
		buf = r.chunk[:]
	case r.chunk != nil:
		chunks.Put(r.chunk)
		r.chunk = nil
	}
	n, err := r.receive(buf)
	r.ahead, r.full = buf[:n], n == len(buf)
	return err
}

// receive delivers what is whole, and then waits for the stream.
func (r *reader) receive(p []byte) (n int, err error) {
	if err := r.deliver(); err != nil {
		return 0, err
	}
	for n == 0 && err == nil {
		n, err = r.in.Read(p)
	}
	if n > 0 { // an error comes again
		return n, nil
	}
	r.err = err
	return 0, err
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
	s.receivedMessages.Add(uint64(len(msgs)))
	bytes := 0
	for i := range msgs {
		bytes += len(msgs[i].Data)
	}
	l.received.Messages.Add(uint64(len(msgs)))
	l.received.Bytes.Add(uint64(bytes))
	if err := s.handler.Deliver(s.ctx, msgs); s.ctx.Err() == nil {
		return err
	}
	return nil
}
