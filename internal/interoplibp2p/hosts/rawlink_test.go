package hosts

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
)

// Types and flags of yamux frames (hashicorp/yamux, spec.md).
const (
	frameData   = 0
	frameWindow = 1
	framePing   = 2
	frameGoAway = 3

	flagSYN = 1
	flagACK = 2
	flagFIN = 4
	flagRST = 8
)

// frame encodes a yamux frame. length goes into the header, whatever the body is.
func frame(kind byte, flags uint16, stream, length uint32, body []byte) []byte {
	b := make([]byte, 12, 12+len(body))
	b[1] = kind
	binary.BigEndian.PutUint16(b[2:], flags)
	binary.BigEndian.PutUint32(b[4:], stream)
	binary.BigEndian.PutUint32(b[8:], length)
	return append(b, body...)
}

func dataFrame(flags uint16, stream uint32, body []byte) []byte {
	return frame(frameData, flags, stream, uint32(len(body)), body)
}

// lines encodes protocols as multistream-select does.
func lines(protocols ...string) (b []byte) {
	for _, p := range append([]string{"/multistream/1.0.0"}, protocols...) {
		b = protowire.AppendVarint(b, uint64(len(p)+1))
		b = append(append(b, p...), '\n')
	}
	return b
}

// rawLink is a link to the program whose frames the test writes itself.
type rawLink struct {
	net.Conn
	ended chan struct{} // closed when the program has ended the link

	mu       sync.Mutex
	received map[uint32]int // bytes, by stream
	windows  map[uint32]int // bytes that the program still takes, by stream, less those of new streams
}

// linked returns a link after its handshake. It answers the program's identify, as a host without protocols, and its
// pings, and otherwise only reads.
func (a *arena) linked(t *testing.T) *rawLink {
	t.Helper()
	for range 5 { // after a flood on a busy machine a handshake may take too long
		conn, id := a.secured(t)
		l := &rawLink{Conn: conn, ended: make(chan struct{}), received: map[uint32]int{}, windows: map[uint32]int{}}
		go l.read()
		up := false
		node.Await(t, "the attacker is linked, or refused", func() bool {
			select {
			case <-l.ended:
				return true
			default:
				up = a.lists(t, id)
				return up
			}
		})
		if up {
			return l
		}
	}
	t.Fatal("the attacker is refused again and again")
	return nil
}

func (l *rawLink) read() {
	defer close(l.ended)
	var head [12]byte
	for {
		if _, err := io.ReadFull(l.Conn, head[:]); err != nil {
			return
		}
		stream, length, flags := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:]),
			binary.BigEndian.Uint16(head[2:])
		l.mu.Lock()
		first := head[1] == frameData && stream%2 == 0 && l.received[stream] == 0 && length > 0
		switch head[1] {
		case frameData:
			l.received[stream] += int(length)
		case frameWindow:
			l.windows[stream] += int(length)
		}
		l.mu.Unlock()
		if head[1] == framePing && flags&flagSYN != 0 {
			l.send(frame(framePing, flagACK, 0, length, nil))
		}
		if head[1] == frameData {
			if _, err := io.CopyN(io.Discard, l.Conn, int64(length)); err != nil {
				return
			}
		}
		if first { // nothing but identify is ever opened to a host without protocols
			answer := lines("/ipfs/id/1.0.0")
			who := protowire.AppendTag(nil, 6, protowire.BytesType)
			who = protowire.AppendString(who, "attacker")
			answer = append(protowire.AppendVarint(answer, uint64(len(who))), who...)
			l.send(dataFrame(flagACK|flagFIN, stream, answer))
		}
	}
}

// allowed returns how many more bytes the program accepts on a stream.
func (l *rawLink) allowed(stream uint32) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return yamuxWindow + l.windows[stream]
}

func (l *rawLink) spend(stream uint32, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.windows[stream] -= n
}

// send reports false once the program has hung up.
func (l *rawLink) send(frames ...[]byte) bool {
	for _, f := range frames {
		if _, err := l.Write(f); err != nil {
			return false
		}
	}
	return true
}

// cutOff waits until the program ends the link.
func (l *rawLink) cutOff(t *testing.T, what string, bound time.Duration) {
	t.Helper()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case <-l.ended:
	case <-timer.C:
		t.Errorf("%s: not cut off within %v", what, bound)
	}
}
