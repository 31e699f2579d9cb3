package yamux

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Frames (go-yamux spec.md): version, type, flags (2 bytes), stream id (4), length (4), all big endian.
const (
	headerSize = 12

	typeData   = 0
	typeWindow = 1
	typePing   = 2
	typeGoAway = 3

	flagSYN = 1
	flagACK = 2
	flagFIN = 4
	flagRST = 8
)

// lastWords is how long we read from a connection that takes no more.
const lastWords = time.Second

// unreadOfOne is what a connection may hold unread whatever all of them hold.
const unreadOfOne = 1 << 20

// conn is the connection beneath go-yamux. It takes note of the frames that pass.
type conn struct {
	net.Conn
	muxer *Muxer

	out writer

	// The reader's own; go-yamux has one. There is no buffer: a secured connection has one beneath.
	head       [headerSize]byte
	headN      int      // bytes of it that have come
	body       int      // bytes of the current frame's body to come
	arriving   *traffic // whose body that is
	arrivingN  int
	afterwards uint16 // flags of the frame that count once its body is there
	arrivals   bool   // the remote has begun streams that its owner was not told of
	straight   bool   // go-yamux need not see the frame, if whoever watches its stream reads it at once (straight.go)
	left       []byte // of a body that was read so, what go-yamux has to see after all
	leftIn     *[shortFrame]byte

	received atomic.Uint64
	lost     atomic.Bool // the connection takes no more

	mu      sync.Mutex // guards what follows, and every traffic
	streams map[uint32]*traffic
	watcher muxer.Watcher
	ended   error // why the remote sends no more
	told    bool  // the watcher knows
	over    bool  // closed
	cause   error // why the connection takes no more
	late    *time.Timer
	pending int           // streams of the remote that are not yet accepted
	room    chan struct{} // closed when some of them have been, if the reader waits for that; else nil
	rtt     time.Duration // of go-yamux's pings; 0: not yet known
	owner   *streams
	unread  int // bytes that have arrived and nobody has read, until closed

	release   chan struct{} // closed with the connection
	closeOnce sync.Once
}

func newConn(nc net.Conn, m *Muxer) *conn {
	return &conn{Conn: nc, muxer: m, out: newWriter(nc, m.cfg.Timeout), streams: map[uint32]*traffic{}, release: make(chan struct{})}
}

func (c *conn) watch(w muxer.Watcher) {
	c.mu.Lock()
	c.watcher = w
	ended := c.ended
	c.told = ended != nil
	c.mu.Unlock()
	if ended != nil {
		w.Ended(ended)
	}
}

// why is the reason for which the remote has ended the connection, as far as one was seen.
func (c *conn) why() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// begin makes s the one that is told of streams, and why go-yamux ends the connection.
func (c *conn) begin(s *streams) {
	c.mu.Lock()
	c.owner = s
	over := c.over
	c.mu.Unlock()
	if over { // before there was a session to ask
		c.failed(s)
	}
}

// Close implements net.Conn, and lets a reader go that waits at the end of the input.
func (c *conn) Close() error {
	c.closeOnce.Do(func() {
		c.mu.Lock()
		close(c.release)
		c.hold(-c.unread) // the streams' buffers go with it
		if c.late != nil {
			c.late.Stop()
		}
		c.over = true
		s := c.owner
		c.mu.Unlock()
		if s != nil && !s.closed.Load() { // go-yamux does it: the remote broke the protocol, or is silent
			c.failed(s)
		}
	})
	return c.Conn.Close()
}

// failed takes note that go-yamux has ended the connection by itself.
func (c *conn) failed(s *streams) {
	err := s.failed()
	c.mu.Lock()
	c.pending = 0 // go-yamux hands out none any more
	if c.ended == nil {
		c.ended = err
	}
	err, w := c.ended, c.watcher
	tell := w != nil && !c.told
	c.told = c.told || tell
	c.mu.Unlock()
	if tell {
		w.Ended(err)
	}
}

// Read implements net.Conn for go-yamux, which asks for a header, then for exactly its body.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.left) > 0 {
		return c.takeLeft(p), nil
	}
	if c.body > 0 {
		n, err := c.Conn.Read(p[:min(len(p), c.body)])
		c.received.Add(uint64(n))
		c.body -= n
		if n > 0 || err == nil { // an error comes again
			return n, nil
		}
		return 0, c.end(cutShort(err))
	}
	if len(p) < headerSize {
		return 0, errors.New("yamux: a header is read in pieces")
	}
	c.arrived() // go-yamux has put the last body into its stream's buffer
	if c.arrivals {
		c.announce()
		c.pace()
	}
	for {
		if err := c.readHeader(); err != nil {
			return 0, c.end(err)
		}
		skip, err := c.note(c.head[:])
		if err != nil {
			c.unseen(c.head[:])
			return 0, c.end(err)
		}
		if c.straight {
			if err := c.passBy(); err != nil {
				return 0, c.end(err)
			}
			if len(c.left) == 0 {
				continue
			}
		}
		if skip == 0 {
			return copy(p, c.head[:]), nil
		}
		n, err := io.CopyN(io.Discard, c.Conn, skip)
		c.received.Add(uint64(n))
		if err != nil {
			return 0, c.end(cutShort(err))
		}
	}
}

// readHeader reads the next header into head.
func (c *conn) readHeader() error {
	for c.headN < headerSize {
		n, err := c.Conn.Read(c.head[c.headN:])
		c.received.Add(uint64(n))
		if c.headN += n; n == 0 && err != nil {
			if c.headN > 0 {
				err = cutShort(err)
			}
			return err
		}
	}
	c.headN = 0
	return nil
}

// note takes note of a header. skip is the length of its body if that is of a stream which is over, for us: go-yamux need not see it.
func (c *conn) note(h []byte) (skip int64, err error) {
	kind, flags := h[1], binary.BigEndian.Uint16(h[2:])
	id, length := binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	switch kind {
	case typeGoAway:
		return 0, goneAway(length)
	case typeData, typeWindow:
	case typePing:
		if flags&flagACK != 0 {
			c.measured(c.out.answered())
		}
		return 0, nil
	default:
		return 0, nil
	}
	c.mu.Lock()
	t := c.streams[id]
	if t == nil && kind == typeData && flags&flagSYN == 0 {
		c.mu.Unlock()
		return int64(length), nil
	}
	if kind == typeData && c.unread+int(length) > unreadOfOne && c.muxer.unread.Load()+int64(length) > int64(c.muxer.cfg.MaxUnread) {
		held := c.unread
		c.mu.Unlock()
		return 0, &muxer.CloseError{Code: muxer.CodeOverflow, Reason: fmt.Sprintf("yamux: nobody has read %d bytes, and all connections hold as many as they may (%d)", held, c.muxer.cfg.MaxUnread)}
	}
	if flags&flagSYN != 0 && t == nil {
		t = c.of(id)
		t.fresh, t.begun = true, true // begun: nobody else has it yet
		c.pending++
		c.arrivals = true
	}
	var watch func()
	if t != nil {
		if kind == typeData {
			if err := t.in.take(length); err != nil {
				c.mu.Unlock()
				return 0, err
			}
		}
		if kind == typeWindow {
			if t.window += int64(length); t.window > math.MaxUint32 {
				c.mu.Unlock()
				return 0, &muxer.CloseError{Code: muxer.CodeProtocolError, Reason: "yamux: a window of more than 4 GiB"}
			}
			watch = t.watch
		}
		if kind == typeData && length > 0 {
			c.arriving, c.arrivingN, c.afterwards = t, int(length), flags
			c.straight = h[0] == 0 && flags == 0 && length <= shortFrame && t.watch != nil && t.readable == 0 && !t.dropped && !t.reset && !t.finIn
		} else if flags&(flagFIN|flagRST) != 0 {
			c.take(t, flags)
			watch = t.watch
			c.tidy(t)
		}
	}
	c.mu.Unlock()
	if kind == typeData {
		c.body = int(length)
	}
	if watch != nil && !(kind == typeWindow && length == 0 && flags&(flagFIN|flagRST) == 0) {
		watch()
	}
	return 0, nil
}

// unseen takes note that go-yamux does not get to see a header.
func (c *conn) unseen(h []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.streams[binary.BigEndian.Uint32(h[4:])]; t != nil && c.arrivals {
		c.arrivals = false
		c.known(t)
	}
}

// announce tells of the streams that go-yamux has ready to be accepted.
func (c *conn) announce() {
	c.mu.Lock()
	s := c.owner
	c.mu.Unlock()
	if s != nil { // else Announce looks
		c.arrivals = false
		s.arrived()
	}
}

// paceTime is how long the reader waits at most for streams to be accepted.
const paceTime = time.Second

// pace waits while so many streams are not yet accepted that go-yamux would soon refuse more. They are accepted at once, as long as the connection takes what is to be
// said of them; a remote that has opened many and reads nothing has them refused in the end.
func (c *conn) pace() {
	c.mu.Lock()
	owner, many := c.owner, c.pending >= acceptBacklog-1
	c.mu.Unlock()
	if !many || owner == nil || !owner.announces() { // else whoever calls Accept may take its time
		return
	}
	c.mu.Lock()
	if c.pending < acceptBacklog-1 {
		c.mu.Unlock()
		return
	}
	room := make(chan struct{})
	c.room = room
	c.mu.Unlock()
	t := time.NewTimer(paceTime)
	defer t.Stop()
	select {
	case <-room:
	case <-c.release:
	case <-t.C:
	}
}

// arrived counts the body that has been read as readable.
func (c *conn) arrived() {
	t := c.arriving
	if t == nil {
		return
	}
	c.mu.Lock()
	if !t.dropped {
		t.readable += c.arrivingN
		c.hold(c.arrivingN)
	}
	t.heard = true
	c.take(t, c.afterwards)
	watch := t.watch
	c.arriving = nil
	c.mu.Unlock()
	if watch != nil {
		watch()
	}
}

// end takes note that nothing more comes, and waits: go-yamux would throw away what has arrived and is not read yet.
func (c *conn) end(err error) error {
	var ce *muxer.CloseError
	if !errors.As(err, &ce) {
		err = connError(err)
	}
	c.mu.Lock()
	if c.cause != nil && !errors.Is(err, io.EOF) {
		err = c.cause
	}
	if c.ended == nil {
		select {
		case <-c.release: // we have closed it ourselves
		default:
			c.ended = err
		}
	}
	w := c.watcher
	tell := c.ended != nil && w != nil && !c.told
	c.told = c.told || tell
	c.mu.Unlock()
	if tell {
		w.Ended(err) // first, so that whoever waits in a read finds out why it ends
	}
	c.letGo()
	if c.arrivals { // begun by a frame whose body has not come
		c.announce()
	}
	<-c.release
	return io.EOF
}

// accepted takes note that a stream was accepted, and that what there is to do at once was done.
func (c *conn) accepted(t *traffic) {
	if t == nil {
		return
	}
	c.mu.Lock()
	c.known(t)
	c.mu.Unlock()
	c.drained()
}

// drained has the watcher look again.
func (c *conn) drained() {
	c.mu.Lock()
	w := c.watcher
	c.mu.Unlock()
	if w != nil {
		w.Drained()
	}
}
