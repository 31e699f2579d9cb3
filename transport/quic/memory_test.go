package quic

import (
	"math"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// heap returns how much memory is in use. It collects until nothing more goes: earlier tests leave garbage in pools.
func heap() int {
	var m runtime.MemStats
	for held := math.MaxInt; ; held = int(m.HeapAlloc) {
		runtime.GC()
		runtime.ReadMemStats(&m)
		if int(m.HeapAlloc) >= held {
			return held
		}
	}
}

// A remote that fills the connection's window with frames of one byte, which nobody reads, makes us hold no more than
// the window's worst case; and that is not far from what it really is.
func TestTinyFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const window = 2 << 10
		near, far := simulated(t, Config{StreamWindow: window})
		defer near.Close()
		defer far.Close()
		before := heap()
		var streams []muxer.RawStream
		for range windowMultiplier {
			st, err := near.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			streams = append(streams, st)
			for range window {
				if _, err := st.Write([]byte{1}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Microsecond) // virtual: each byte is sent
			}
		}
		time.Sleep(time.Second)
		for _, st := range streams {
			got, err := far.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer got.Reset(muxer.CodeUnknown)
			defer st.Reset(muxer.CodeUnknown)
		}
		const total = windowMultiplier * window
		if held := heap() - before; held > total*windowCost+1<<20 || held < total*windowCost/4 {
			t.Errorf("%d bytes of the window hold %d bytes, want up to %d", total, held, total*windowCost)
		}
	})
}

// Windows grow as long as all of them together fit; what a connection had is free when it is gone.
func TestWindows(t *testing.T) {
	w := newWindows(100 * windowCost)
	a, b := new(lib.Conn), new(lib.Conn)
	w.add(a, 30)
	w.add(b, 30)
	for i, c := range []struct {
		conn *lib.Conn
		n    uint64
		ok   bool
	}{{a, 30, true}, {b, 11, false}, {b, 10, true}, {a, 1, false}, {new(lib.Conn), 1, false}} {
		if ok := w.allow(c.conn, c.n); ok != c.ok {
			t.Errorf("%d: %v", i, ok)
		}
	}
	w.remove(a)
	if !w.allow(b, 60) || w.allow(b, 1) {
		t.Errorf("%d of %d", w.sum, w.most)
	}
	w.remove(b)
	w.remove(b)
	if w.sum != 0 || len(w.of) != 0 {
		t.Errorf("%d are left", w.sum)
	}
}
