package yamux

import (
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// unreadConn is a connection of m whose remote is a script and whose streams nobody reads, unless a test does.
type unreadConn struct {
	muxer.Streams
	raw     net.Conn
	streams []muxer.RawStream
	ended   chan error
}

func newUnread(t *testing.T, m *Muxer) *unreadConn {
	t.Helper()
	a, b := muxertest.Pipe(64 << 10)
	s, err := m.New(a, muxer.Listener)
	if err != nil {
		t.Fatal(err)
	}
	u := &unreadConn{Streams: s, raw: b, ended: make(chan error, 1)}
	u.Watch(u)
	go io.Copy(io.Discard, b)
	return u
}

func (u *unreadConn) Drained()        {}
func (u *unreadConn) Ended(err error) { u.ended <- err }

// fill opens n more streams and fills their windows.
func (u *unreadConn) fill(t *testing.T, n int) {
	t.Helper()
	for range n {
		u.raw.Write(frame(typeData, flagSYN, uint32(1+2*len(u.streams)), initialWindow, make([]byte, initialWindow)...))
		st, err := u.Accept()
		if err != nil {
			t.Fatal(err)
		}
		u.streams = append(u.streams, st)
	}
	synctest.Wait()
}

func (u *unreadConn) close() {
	u.Close()
	u.raw.Close()
}

// What nobody reads is bounded, for all connections of a muxer together. The one that brings too much ends, if it holds more than its due, and the others go on. What is
// read, or belongs to a stream that is closed or reset, does not count any more.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{MaxUnread: 2 << 20})
		if err != nil {
			t.Fatal(err)
		}
		holds := func(what string, windows int) {
			t.Helper()
			synctest.Wait()
			if n := m.unread.Load(); n != int64(windows)*initialWindow {
				t.Errorf("%s: %d bytes count as unread, want %d windows", what, n, windows)
			}
		}
		large, small := newUnread(t, m), newUnread(t, m)
		defer small.close()
		large.fill(t, 6)
		small.fill(t, 2)
		holds("after eight streams", 8)
		small.fill(t, 2) // this one holds little
		holds("after ten streams", 10)

		large.raw.Write(frame(typeData, flagSYN, 99, 1, 'x'))
		var ce *muxer.CloseError
		if err := <-large.ended; !errors.As(err, &ce) || ce.Code != muxer.CodeOverflow || ce.Remote {
			t.Errorf("it ended with %v", err)
		}
		large.close()
		holds("after the end of a connection", 4)

		if _, err := io.ReadFull(small.streams[0], make([]byte, initialWindow)); err != nil {
			t.Error(err)
		}
		holds("after one was read", 3)
		small.streams[1].Close()
		holds("after one was closed", 2)
		small.streams[2].Reset(muxer.CodeRequested)
		holds("after one was reset", 1)
		small.raw.Write(frame(typeWindow, flagRST, 7, 0))
		holds("after the remote has reset the last", 0)
		small.fill(t, 3)
		holds("after three more", 3)
	})
}
