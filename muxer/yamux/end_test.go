package yamux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// The last piece and the end of a stream arrive, however much it is, and behind that there is nothing more to say.
func TestWriteEnd(t *testing.T) {
	for _, n := range []int{0, 1, shortAnswer, shortAnswer + 1, 3 * initialWindow} {
		streamPair(t, func(t *testing.T, near, far muxer.RawStream, _ *nowConn) {
			ask(t, near, far)
			said := make(chan error)
			want := bytes.Repeat([]byte{7}, n)
			go func() { said <- far.(muxer.EndWriter).WriteEnd(want) }()
			got, err := io.ReadAll(near)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes of %d, %v", len(got), n, err)
			}
			if err := <-said; err != nil {
				t.Error(err)
			}
			if err := far.(muxer.EndWriter).WriteEnd([]byte("more")); !errors.Is(err, net.ErrClosed) {
				t.Errorf("behind the end: %v", err)
			}
			if _, err := near.Write([]byte("still")); err != nil {
				t.Errorf("the other side: %v", err)
			}
			if _, err := io.ReadFull(far, make([]byte, 5)); err != nil {
				t.Errorf("the other side: %v", err)
			}
		})
	}
}

// An end that cannot be said holds nothing else back.
func TestWriteEndAfterReset(t *testing.T) {
	streamPair(t, func(t *testing.T, near, far muxer.RawStream, _ *nowConn) {
		ask(t, near, far)
		_ = near.Reset(muxer.CodeUnknown)
		synctest.Wait()
		if err := far.(muxer.EndWriter).WriteEnd([]byte("last")); err == nil {
			t.Error("no error")
		}
		if q, p := far.(*stream).conn.out.queued.Load(), far.(*stream).conn.out.passed; q > p {
			t.Errorf("%d queued, %d passed", q, p)
		}
	})
}

// frames counts writes, and the frames of each kind in them.
type frames struct {
	net.Conn
	writes, pongs atomic.Int32
}

func (f *frames) Write(p []byte) (int, error) {
	f.writes.Add(1)
	for at := p; len(at) >= headerSize; at = at[headerSize:] {
		if at[1] == typePing && at[3] == flagACK {
			f.pongs.Add(1)
		}
		if at[1] == typeData {
			at = at[binary.BigEndian.Uint32(at[8:]):]
		}
	}
	return f.Conn.Write(p)
}

// With patience the answer to the first ping goes with what is said next, or waits for no longer than that; later ones do not wait.
func TestPatience(t *testing.T) {
	const patience = 5 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		conn := &frames{Conn: a}
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.New(conn, muxer.Listener)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		s.(muxer.Patient).Patience(patience)
		go io.Copy(io.Discard, b)
		defer b.Close()
		ping := []byte{0, typePing, 0, flagSYN, 0, 0, 0, 0, 0, 0, 0, 1}
		expect := func(what string, pongs, writes int32) {
			t.Helper()
			synctest.Wait()
			if p, w := conn.pongs.Load(), conn.writes.Load(); p != pongs || w != writes {
				t.Errorf("%s: %d pongs in %d writes, want %d in %d", what, p, w, pongs, writes)
			}
		}
		_, _ = b.Write(ping)
		expect("at once", 0, 0)
		time.Sleep(patience) // virtual
		expect("after a while", 1, 1)
		_, _ = b.Write(ping)
		expect("the second one", 2, 2)
	})
}
