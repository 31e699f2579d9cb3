package mconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/time/rate"

	"github.com/switchyard-p2p/switchyard/muxer"
)

const (
	deliverMessages = 256       // the most messages in one Deliver
	deliverBytes    = 256 << 10 // about the most bytes in one Deliver
	// exactAlloc is how much memory the remote's word alone can claim: a message that says it ends after so many bytes
	// gets them in one piece. Beyond that, memory is claimed as bytes arrive.
	exactAlloc = 16 << 10
	// hintMax bounds what the size of a channel's last message makes us claim for its next one.
	hintMax = 1 << 20
)

// inbound is the message of one channel that is being received.
type inbound struct {
	id   byte
	max  int
	buf  []byte
	hint int // size of the last message that came in several packets

	messages, bytes int // in the batch
	received        *muxer.Received
}

// reader takes packets apart as their bytes come, in chunks of any size. Only the reader goroutine uses it.
type reader struct {
	inbound []inbound
	batch   *deliveries
	full    bool // the batch

	header  [maxHeader]byte // a header that came in several chunks, so far
	headers int             // its bytes

	current *inbound // whose packet is being received, while left > 0
	left    int      // bytes of payload to come
	last    bool     // the packet ends its message

	body     []byte // a packet of unusual form, so far
	bodyLeft int    // its bytes to come; it is being received while this is not 0

	ping, pong bool // came in this chunk
	ended      bool // the remote sends no more: see drain
}

// deliveries are whole messages on their way to the handler.
type deliveries struct {
	msgs  []muxer.Message
	bytes int
}

// An idle session holds none.
var deliveryPool = sync.Pool{New: func() any { return &deliveries{msgs: make([]muxer.Message, 0, deliverMessages)} }}

// readLoop reads until the session ends, and returns why.
func (s *Session) readLoop(h muxer.Handler) error {
	for first := true; ; first = false {
		chunk, err := s.conn.Next()
		if err != nil {
			return s.readError(err)
		}
		if first {
			h.Established()
		}
		if err := s.arrived(chunk, h); err != nil {
			return err
		}
	}
}

// arrived takes what was read, and hands whole messages to h when there is a batch of them, or nothing more to read at
// once.
func (s *Session) arrived(chunk []byte, h muxer.Handler) (err error) {
	r := &s.read
	s.receivedBytes.Add(uint64(len(chunk)))
	if s.receiveLimit != nil {
		wait(s.ctx, s.receiveLimit, len(chunk))
	}
	for len(chunk) > 0 && err == nil {
		chunk, err = s.parse(chunk)
		if r.batch != nil && (err != nil || len(chunk) > 0) { // full, or the last that we take
			if derr := s.deliver(h); derr != nil {
				return derr
			}
		}
	}
	if r.ping || r.pong {
		s.heardKeepalives(r.ping, r.pong)
		r.ping, r.pong = false, false
	}
	switch {
	case err != nil:
		return err
	case r.ended:
		return s.endHeard(h)
	}
	if r.batch != nil && (r.full || !s.conn.Buffered()) {
		return s.deliver(h)
	}
	return nil
}

// deliver hands the batch to the handler. After Close it drops what still comes, and goes on reading, so that the
// writer can send what is queued.
func (s *Session) deliver(h muxer.Handler) error {
	b := s.read.batch
	s.read.batch, s.read.full = nil, false
	var err error
	if s.ctx.Err() == nil {
		s.receivedMessages.Add(uint64(len(b.msgs)))
		for i := range s.read.inbound {
			if c := &s.read.inbound[i]; c.messages > 0 {
				c.received.Messages.Add(uint64(c.messages))
				c.received.Bytes.Add(uint64(c.bytes))
				c.messages, c.bytes = 0, 0
			}
		}
		s.alive.delivering.Store(s.now())
		err = h.Deliver(s.ctx, b.msgs)
		s.alive.delivering.Store(0)
		if s.ctx.Err() != nil {
			err = nil
		}
	}
	clear(b.msgs)
	b.msgs, b.bytes = b.msgs[:0], 0
	deliveryPool.Put(b)
	return err
}

// emit adds a whole message to the batch.
func (r *reader) emit(c *inbound, data []byte) {
	if r.batch == nil {
		r.batch = deliveryPool.Get().(*deliveries)
	}
	r.batch.msgs = append(r.batch.msgs, muxer.Message{Channel: c.id, Data: data})
	r.batch.bytes += len(data)
	c.messages++
	c.bytes += len(data)
	r.full = len(r.batch.msgs) == deliverMessages || r.batch.bytes >= deliverBytes
}

// parse takes packets out of p until it is used up or the batch is full, and returns what is left of p.
func (s *Session) parse(p []byte) ([]byte, error) {
	r := &s.read
	for len(p) > 0 && !r.full {
		switch {
		case r.left > 0:
			n := min(r.left, len(p))
			if err := s.receive(p[:n]); err != nil {
				return nil, err
			}
			p = p[n:]
		case r.bodyLeft > 0:
			n := min(r.bodyLeft, len(p))
			if err := s.receiveBody(p[:n]); err != nil {
				return nil, err
			}
			p = p[n:]
		case r.headers > 0:
			had := r.headers
			r.headers += copy(r.header[had:], p)
			h, n, err := parseHeader(r.header[:r.headers], s.cfg.MaxPacket)
			if err != nil {
				return nil, protocolError(err)
			}
			if n == 0 {
				return nil, nil // p is used up: the buffer holds any header
			}
			r.headers = 0
			if n < had { // an unusual packet, and the beginning of its body
				s.read.bodyLeft = h.data
				err = s.receiveBody(r.header[n:had])
			} else {
				p, err = s.begin(h, p[n-had:])
			}
			if err != nil {
				return nil, err
			}
		default:
			h, n, err := parseHeader(p, s.cfg.MaxPacket)
			if err != nil {
				return nil, protocolError(err)
			}
			if n == 0 {
				r.headers = copy(r.header[:], p)
				return nil, nil
			}
			if p, err = s.begin(h, p[n:]); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// begin starts a packet. p is what has come behind its header; begin returns what it has not used.
func (s *Session) begin(h header, p []byte) ([]byte, error) {
	r := &s.read
	if r.ended {
		return nil, protocolError(errBehindEnd)
	}
	switch h.kind {
	case kindPing:
		r.ping = true
		return p, nil
	case kindPong:
		r.pong = true
		return p, nil
	case kindOther:
		r.bodyLeft = h.data
		return p, nil
	case kindEnd:
		if !s.between() {
			return nil, protocolError(errEndInside)
		}
		r.ended = true
		return p, nil
	}
	i := -1
	if h.channel >= 0 && h.channel <= 255 {
		i = s.queues.Find(byte(h.channel))
	}
	if i < 0 {
		return nil, &muxer.CloseError{Code: muxer.CodeWrongChannel,
			Reason: fmt.Sprintf("packet for channel %#x", h.channel), Err: muxer.ErrUnknownChannel}
	}
	c := &r.inbound[i]
	if total := len(c.buf) + h.data; total > c.max {
		return nil, &muxer.CloseError{Code: muxer.CodeMessageTooBig,
			Reason: fmt.Sprintf("channel 0x%02x takes %d bytes", c.id, c.max), Err: muxer.ErrMessageTooLarge}
	}
	if h.last && len(c.buf) == 0 && h.data <= len(p) { // the whole message is at hand
		data := muxer.NewBuffer(h.data)
		copy(data, p)
		r.emit(c, data)
		return p[h.data:], nil
	}
	r.current, r.left, r.last = c, h.data, h.last
	if h.data == 0 {
		s.endPacket()
	}
	return p, nil
}

// receive adds the next bytes of the current packet's payload to its message.
func (s *Session) receive(p []byte) error {
	r := &s.read
	c := r.current
	if cap(c.buf)-len(c.buf) < len(p) {
		if err := s.grow(c, len(p)); err != nil {
			return err
		}
	}
	c.buf = append(c.buf, p...)
	if r.left -= len(p); r.left == 0 {
		s.endPacket()
	}
	return nil
}

// endPacket delivers the current packet's message if that is whole.
func (s *Session) endPacket() {
	r := &s.read
	c := r.current
	r.current = nil
	if !r.last {
		return
	}
	data := c.buf
	s.partial.Release(cap(data))
	c.buf = nil
	if spare := cap(data) - len(data); spare > len(data)/4 {
		// The inboxes count bytes, not what stands behind them unused.
		large := data
		data = append(muxer.NewBuffer(len(large))[:0], large...)
		muxer.FreeBuffer(large)
	}
	if len(data) > s.cfg.MaxPacketPayload {
		c.hint = min(len(data), hintMax)
	}
	if data == nil {
		data = []byte{}
	}
	r.emit(c, data)
}

// grow makes room in c for n more bytes that are at hand.
func (s *Session) grow(c *inbound, n int) error {
	r := &s.read
	had, whole := cap(c.buf), len(c.buf)+r.left // whole: with all of this packet
	size := max(len(c.buf)+n, 2*had)
	switch {
	case r.last && whole <= exactAlloc:
		size = whole
	case r.last:
		size = min(max(size, exactAlloc), whole)
	case had == 0:
		size = max(size, c.hint, min(4*whole, exactAlloc))
	}
	size = muxer.BufferSize(min(size, c.max))
	if err := s.partial.Claim(size - had); err != nil {
		return err
	}
	old := c.buf
	c.buf = append(muxer.NewBuffer(size)[:0], old...)
	muxer.FreeBuffer(old)
	return nil
}

// receiveBody collects a packet of unusual form, which may be as long as one with the longest message.
func (s *Session) receiveBody(p []byte) error {
	r := &s.read
	whole := len(r.body) + r.bodyLeft
	if whole > s.largest+packetOverhead {
		return &muxer.CloseError{Code: muxer.CodeMessageTooBig, Err: muxer.ErrMessageTooLarge,
			Reason: fmt.Sprintf("a packet of %d bytes, where the longest message has %d", whole, s.largest)}
	}
	if need, had := len(r.body)+len(p), cap(r.body); need > had {
		size := min(max(need, 2*had), whole)
		if err := s.partial.Claim(size - had); err != nil {
			return err
		}
		r.body = append(make([]byte, 0, size), r.body...)
	}
	r.body = append(r.body, p...)
	if r.bodyLeft -= len(p); r.bodyLeft > 0 {
		return nil
	}
	body := r.body
	r.body = nil
	defer s.partial.Release(cap(body))
	h, data, err := decodePacket(body)
	if err != nil {
		return protocolError(err)
	}
	rest, err := s.begin(h, data)
	if err != nil || len(rest) == 0 {
		return err
	}
	return s.receive(rest)
}

// readError turns the connection's error into the session's.
func (s *Session) readError(err error) error {
	switch {
	case s.read.ended:
		return s.hungUp(err)
	case errors.Is(err, io.EOF) && s.between():
		return io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &muxer.CloseError{Code: muxer.CodeRemoteClosed, Remote: true, Reason: "inside a message",
			Err: io.ErrUnexpectedEOF}
	}
	return transportError(err)
}

// between reports whether no message is half received.
func (s *Session) between() bool {
	r := &s.read
	if r.headers > 0 || r.left > 0 || r.bodyLeft > 0 {
		return false
	}
	for i := range r.inbound {
		if len(r.inbound[i].buf) > 0 {
			return false
		}
	}
	return true
}

func protocolError(err error) error {
	return &muxer.CloseError{Code: muxer.CodeProtocolError, Err: err}
}

// wait takes n bytes from a limit, in steps that it allows. A session that is closing waits no longer.
func wait(ctx context.Context, l *rate.Limiter, n int) {
	for n > 0 && ctx.Err() == nil {
		step := min(n, l.Burst())
		l.WaitN(ctx, step)
		n -= step
	}
}
