package libp2p

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// wireTap keeps each write apart, and reads at most some bytes at a time.
type wireTap struct {
	*handshaketest.Conn
	writes [][]byte
	in     bytes.Buffer
	most   int
}

func (w *wireTap) Write(p []byte) (int, error) {
	w.writes = append(w.writes, bytes.Clone(p))
	return len(p), nil
}

func (w *wireTap) Read(p []byte) (int, error) { return w.in.Read(p[:min(len(p), w.most)]) }

func TestCorked(t *testing.T) {
	long := bytes.Repeat([]byte("l"), corkSize)
	for _, c := range []struct {
		name            string
		side            muxer.Side
		say             string
		first, last     []byte // what the security writes before and behind its read
		then            []byte // the first write behind it
		want            []string
		anotherBehindIt bool
	}{
		{"a dialer", muxer.Dialer, "propose ", []byte("hello"), []byte("proof "), []byte("data"),
			[]string{"propose hello", "proof data", "more"}, true},
		{"a listener", muxer.Listener, "answer ", []byte("hello"), nil, []byte("data"),
			[]string{"answer hello", "data", "more"}, true},
		{"a listener that speaks last", muxer.Listener, "answer ", []byte("hello"), []byte("proof"), []byte("data"),
			[]string{"answer hello", "proof", "data", "more"}, true},
		{"nothing to say", muxer.Dialer, "", []byte("hello"), []byte("proof "), []byte("data"),
			[]string{"hello", "proof data", "more"}, true},
		{"long", muxer.Dialer, "propose ", long, long, []byte("data"),
			[]string{"propose ", string(long), string(long) + "", "data"}, false},
	} {
		x, _ := rawPair()
		tap := &wireTap{Conn: x, most: 1 << 10}
		tap.in.WriteString("answer")
		conn := newCorkedConn(handshake.NewPeekConn(tap), []byte(c.say), "")
		write := func(p []byte) {
			if n, err := conn.Write(p); n != len(p) || err != nil {
				t.Errorf("%s: wrote %d of %d: %v", c.name, n, len(p), err)
			}
		}
		write(c.first)
		got := make([]byte, 6)
		if _, err := io.ReadFull(conn, got); err != nil || string(got) != "answer" {
			t.Errorf("%s: read %q: %v", c.name, got, err)
		}
		if len(c.last) > 0 {
			write(c.last)
		}
		if err := conn.secured(c.side); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		tap.in.WriteString("?")
		// a reader that waits sends nothing: the writer is about to
		if _, err := conn.Read(got[:1]); err != nil || got[0] != '?' {
			t.Errorf("%s: %v", c.name, err)
		}
		write(c.then)
		if c.anotherBehindIt {
			write([]byte("more"))
		}
		if len(tap.writes) != len(c.want) {
			t.Errorf("%s: %d writes, want %d", c.name, len(tap.writes), len(c.want))
			continue
		}
		for i, w := range tap.writes {
			if string(w) != c.want[i] {
				t.Errorf("%s: write %d is %.40q, want %.40q", c.name, i, w, c.want[i])
			}
		}
		if conn.held != nil || conn.Buffered() > 0 {
			t.Errorf("%s: buffers are kept", c.name)
		}
	}
}

// What is held waits while there is something to read at hand.
func TestCorkedBuffered(t *testing.T) {
	x, _ := rawPair()
	tap := &wireTap{Conn: x, most: 1 << 10}
	tap.in.WriteString("hello")
	peeked := handshake.NewPeekConn(tap)
	if _, err := peeked.Peek(); err != nil {
		t.Fatal(err)
	}
	conn := newCorkedConn(peeked, []byte("answer "), "")
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		t.Errorf("read %q: %v", got, err)
	}
	if _, err := conn.Write([]byte("flight")); err != nil || len(tap.writes) != 0 {
		t.Errorf("%q was written: %v", tap.writes, err)
	}
	_, _ = conn.Read(got) // it would wait
	if len(tap.writes) != 1 || string(tap.writes[0]) != "answer flight" {
		t.Errorf("%q was written", tap.writes)
	}
}

// The answer to a proposal is read together with what comes with it, in whatever pieces it comes, and nothing is lost.
func TestCorkedAwaits(t *testing.T) {
	for _, most := range []int{1, 7, 30, 4096} {
		x, _ := rawPair()
		tap := &wireTap{Conn: x, most: most}
		tap.in.Write(multistream.Propose("/it")) // the answer looks alike
		tap.in.WriteString("and then")
		conn := newCorkedConn(handshake.NewPeekConn(tap), multistream.Propose("/it"), "/it")
		if got, err := io.ReadAll(conn); err != nil || string(got) != "and then" {
			t.Errorf("pieces of %d: %q, %v", most, got, err)
		}
		if conn.Buffered() > 0 {
			t.Errorf("pieces of %d: the buffer is kept", most)
		}
	}
	x, _ := rawPair()
	tap := &wireTap{Conn: x, most: 4096}
	tap.in.Write(multistream.Propose("na"))
	if _, err := newCorkedConn(handshake.NewPeekConn(tap), multistream.Propose("/it"),
		"/it").Read(make([]byte, 9)); !errors.Is(err, multistream.ErrRefused) {
		t.Errorf("refused: %v", err)
	}
}
