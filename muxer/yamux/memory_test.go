package yamux

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// scripted is a connection of m whose remote is a script and whose streams nobody reads, unless a test does.
type scripted struct {
	muxer.Streams
	raw     net.Conn
	streams []muxer.RawStream
}

func newScripted(t testing.TB, m *Muxer) *scripted {
	t.Helper()
	a, b := muxertest.Pipe(64 << 10)
	s, err := m.New(a, muxer.Listener)
	if err != nil {
		t.Fatal(err)
	}
	s.Up()
	go io.Copy(io.Discard, b)
	return &scripted{Streams: s, raw: b}
}

// open opens n streams with data in one frame, and accepts them.
func (c *scripted) open(t testing.TB, n int, data ...byte) {
	t.Helper()
	for range n {
		c.raw.Write(frame(typeData, flagSYN, uint32(1+2*len(c.streams)), uint32(len(data)), data...))
		st, err := c.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.streams = append(c.streams, st)
	}
}

// ended waits for the end of the connection, and returns why.
func (c *scripted) ended() error {
	for {
		if _, err := c.Accept(context.Background()); err != nil {
			return err
		}
	}
}

func (c *scripted) close() {
	c.CloseWith(muxer.CodeRequested, "", 0)
	c.raw.Close()
}

// overflow fails the test unless err is a MemoryError of the right limit.
func overflow(t *testing.T, err error, all bool) {
	t.Helper()
	var ce *muxer.CloseError
	var me *MemoryError
	if !errors.As(err, &ce) || ce.Code != muxer.CodeOverflow || ce.Remote || !errors.As(err, &me) || me.All != all {
		t.Fatalf("it ended with %v", err)
	}
	if all != strings.Contains(err.Error(), "max_unread") || !strings.Contains(err.Error(), me.Remote.String()) {
		t.Errorf("it names neither limit nor remote: %v", err)
	}
}

// What nobody reads is bounded, for all connections together. The one that brings too much ends if it holds more than
// its due; the others go on. What is read, or belongs to a stream that is closed or reset, counts no more.
func TestUnread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const full = streamCost + slotCost + initialWindow
		m, err := New(Config{MaxUnread: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		holds := func(what string, windows, more int) {
			t.Helper()
			synctest.Wait()
			if n := int(m.memory.Load()); n != windows*full+more {
				t.Errorf("%s: %d bytes are held, want %d windows and %d", what, n, windows, more)
			}
		}
		window := make([]byte, initialWindow)
		for range 8 {
			c := newScripted(t, m)
			defer c.close()
			c.open(t, 3, window...)
		}
		large, small := newScripted(t, m), newScripted(t, m)
		defer small.close()
		large.open(t, 4, window...)
		small.open(t, 3, window...)
		holds("after all", 31, 0)
		large.raw.Write(frame(typeData, flagSYN, 99, initialWindow))
		overflow(t, large.ended(), true)
		large.close()
		holds("after the end of a connection", 27, 0)

		if _, err := io.ReadFull(small.streams[0], window); err != nil {
			t.Error(err)
		}
		holds("after one was read", 26, full-initialWindow)
		small.streams[0].Close()
		holds("after it was closed", 26, 0)
		small.streams[1].Close()
		holds("after one was closed", 25, 0)
		small.streams[2].Reset(muxer.CodeRequested)
		holds("after one was reset", 24, 0)
		small.open(t, 1, window...)
		small.raw.Write(frame(typeWindow, flagRST, 7, 0))
		holds("after the remote has reset one", 24, 0)
		small.open(t, 1, window...)
		small.raw.Write(frame(typeWindow, flagFIN, 9, 0))
		small.streams[4].CloseWrite()
		holds("after both ends have closed one", 25, 0)
		if _, err := io.ReadAll(small.streams[4]); err != nil {
			t.Error(err)
		}
		holds("after it was read", 24, 0)
	})
}

// heap returns how much memory is in use. It collects until nothing more goes.
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

// flood sends frames with size bytes of data on many streams, until the connection ends or takes no more. Nobody reads
// or accepts the streams.
func (c *scripted) flood(size int) {
	data := make([]byte, size)
	left := make([]int, 100)
	for {
		for i := range left {
			flags := uint16(0)
			if left[i] == 0 {
				flags, left[i] = flagSYN, initialWindow
			}
			if left[i] < size {
				continue
			}
			left[i] -= size
			c.raw.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := c.raw.Write(frame(typeData, flags, uint32(1+2*i), uint32(size), data...)); err != nil {
				return
			}
		}
	}
}

// A remote that sends what nobody reads, in frames of any size, makes us hold no more than one connection may, and many
// of them no more than all may, beside what each has in any case. Before its link is up, a remote has next to nothing.
// Another connection works meanwhile.
func TestUnreadHeap(t *testing.T) {
	const limit, slack = 16 << 20, 1 << 20
	sizes := []int{1, 7, 64, 500, 1500, 16 << 10, 64<<10 - headerSize}
	for _, c := range []struct {
		name  string
		links int
		up    bool
		most  int
	}{
		{"one", 1, true, limit/shareOfOne + slack},
		{"many", 24, true, limit + 24*dueOfOne + slack},
		{"many that are not up", 24, false, 24*(earlyMost+64<<10+64<<10) + slack}, // and what waits in the pipe
	} {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s, %d bytes", c.name, size), func(t *testing.T) {
				m, err := New(Config{MaxUnread: limit})
				if err != nil {
					t.Fatal(err)
				}
				good := newScripted(t, m)
				defer good.close()
				before := heap()
				var all []*scripted
				var floods sync.WaitGroup
				for range c.links {
					bad := newScripted(t, m)
					bad.Streams.(*session).conn.up = c.up
					all = append(all, bad)
					floods.Go(func() { bad.flood(size) })
				}
				floods.Wait()
				if held := heap() - before; held > c.most {
					t.Errorf("the heap holds %d bytes, want at most %d", held, c.most)
				}
				good.open(t, 1, 'a')
				if _, err := io.ReadFull(good.streams[0], make([]byte, 1)); err != nil {
					t.Errorf("another connection: %v", err)
				}
				for _, bad := range all {
					bad.close()
				}
				if held := m.memory.Load(); held > streamCost+slotCost {
					t.Errorf("%d bytes are charged behind the end", held)
				}
			})
		}
	}
}

// A flood of frames of one byte on many streams that nobody reads ends the connection with a reason.
func TestTinyFrames(t *testing.T) {
	m, err := New(Config{MaxUnread: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	bad := newScripted(t, m)
	var wg sync.WaitGroup
	wg.Go(func() { bad.flood(1) })
	overflow(t, bad.ended(), false)
	bad.close()
	wg.Wait()
}

// A remote whose link is not up yet waits with what it sends, and loses nothing. A frame that is longer than it may
// hold then ends the connection.
func TestBeforeTheLinkIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := newScripted(t, m)
		defer c.close()
		c.Streams.(*session).conn.up = false
		const n = 100
		go func() {
			for i := range uint32(n) {
				c.raw.Write(frame(typeData, flagSYN, 1+2*i, 1, 'x'))
			}
		}()
		time.Sleep(time.Second)
		if held := m.memory.Load(); held < earlyMost || held > earlyMost+streamCost+slotCost+8 {
			t.Errorf("%d bytes are held before the link is up", held)
		}
		c.Up()
		for range n {
			st, err := c.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(st, make([]byte, 1)); err != nil {
				t.Error(err)
			}
			st.Close()
		}
		d := newScripted(t, m)
		defer d.close()
		d.Streams.(*session).conn.up = false
		go d.raw.Write(frame(typeData, flagSYN, 1, earlyMost+1))
		var ce *muxer.CloseError
		if _, err := d.Accept(t.Context()); !errors.As(err, &ce) || ce.Code != muxer.CodeProtocolError {
			t.Errorf("a long frame: %v", err)
		}
	})
}

// A slice of go-yamux that was long once stays long: what was read is still charged for that.
func TestTinyFramesRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := newScripted(t, m)
		defer c.close()
		c.open(t, 1, 'x')
		const n = 10_000
		for range n - 1 {
			c.raw.Write(frame(typeData, 0, 1, 1, 'x'))
		}
		synctest.Wait()
		if _, err := io.ReadFull(c.streams[0], make([]byte, n)); err != nil {
			t.Fatal(err)
		}
		if held := m.memory.Load(); held != streamCost+n*slotCost {
			t.Errorf("%d bytes are charged, want %d", held, streamCost+n*slotCost)
		}
		c.streams[0].Close()
		if held := m.memory.Load(); held != 0 {
			t.Errorf("%d bytes are charged behind the end", held)
		}
	})
}

// A flood of streams: no more than the limit is held, the others are reset, and the connection works.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{MaxStreams: 500})
		if err != nil {
			t.Fatal(err)
		}
		c := newScripted(t, m)
		defer c.close()
		go func() {
			for id := uint32(1); id < 200_000; id += 2 {
				c.raw.Write(frame(typeData, flagSYN, id, 1, 'x'))
			}
		}()
		time.Sleep(time.Second) // virtual: the first ones wait for Accept
		if held := m.memory.Load(); held != acceptBacklog*(streamCost+slotCost+8) {
			t.Errorf("%d bytes are charged", held)
		}
		var got []muxer.RawStream
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			st, err := c.Accept(ctx)
			cancel()
			if err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				break
			}
			got = append(got, st)
		}
		if held := m.memory.Load(); len(got) != 500 || held != 500*(streamCost+slotCost+8) {
			t.Errorf("%d streams, %d bytes", len(got), held)
		}
		for _, st := range got {
			if n, err := st.Read(make([]byte, 2)); n != 1 || err != nil {
				t.Errorf("%d bytes, %v", n, err)
			}
			st.Close()
		}
		if held := m.memory.Load(); held != 0 {
			t.Errorf("%d bytes are charged behind the end", held)
		}
		c.raw.Write(frame(typeData, flagSYN, 200_001, 1, 'x'))
		if _, err := c.Accept(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// The windows of all streams together do not grow beyond what may be held.
func TestGrowthIsBounded(t *testing.T) {
	m, err := New(Config{MaxUnread: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c := newConn(nil, m)
	c.out.rtt.Store(int64(time.Hour)) // so that every window grows
	var all []*traffic
	for id := range uint32(8) {
		all = append(all, c.of(id))
	}
	for range 10 {
		for _, x := range all {
			x.frames = append(x.frames, uint32(x.in.size))
			c.consumed(x, x.in.size)
		}
	}
	if want := 2 << 20; c.grown != want || m.grown.Load() != int64(want) {
		t.Errorf("they have grown by %d, want %d", c.grown, want)
	}
	for _, x := range all {
		x.reset = &muxer.ResetError{}
		c.tidy(x)
	}
	if c.grown != 0 || m.grown.Load() != 0 {
		t.Errorf("%d behind the end", c.grown)
	}
}

// What arrives on a stream that is reset, or that nobody reads any more, is held nowhere.
func TestDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		c := newScripted(t, m)
		defer c.close()
		c.open(t, 1, 'x')
		if err := c.streams[0].CloseRead(); err != nil {
			t.Fatal(err)
		}
		held := m.memory.Load()
		half := make([]byte, initialWindow/2)
		c.raw.Write(frame(typeData, 0, 1, uint32(len(half)), half...)) // go-yamux does not see it
		c.raw.Write(frame(typeData, flagRST, 3, uint32(len(half)), half...))
		c.raw.Write(frame(typeData, flagSYN|flagRST, 5, uint32(len(half)), half...))
		c.raw.Write(frame(typeData, 0, 5, uint32(len(half)), half...))
		synctest.Wait()
		if n := m.memory.Load(); n != held {
			t.Errorf("%d bytes are held, want %d", n, held)
		}
		if _, err := c.streams[0].Write([]byte("still")); err != nil {
			t.Errorf("the other direction: %v", err)
		}
		if st, err := c.Accept(t.Context()); err != nil {
			t.Error(err)
		} else if _, err := st.Read(make([]byte, 1)); err == nil {
			t.Error("a stream that is reset can be read")
		}
		c.raw.Write(frame(typeData, flagFIN, 1, 1, 'x'))
		c.streams[0].CloseWrite()
		synctest.Wait()
		if n := m.memory.Load(); n != 0 {
			t.Errorf("%d bytes are held behind the end", n)
		}
	})
}

// A remote that opens streams which we reset, and reads nothing, makes us hold no more of what there is to say to it.
func TestFloodOfOneWhoReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(64 << 10)
		s := muxed(t, a, muxer.Listener, Config{})
		go func() {
			for id := uint32(1); id < 200_000; id += 2 {
				if _, err := b.Write(frame(typeData, flagSYN, id, 1, 'x')); err != nil {
					return
				}
			}
		}()
		accepted := 0
		go func() {
			for {
				st, err := s.Accept(context.Background())
				if err != nil {
					return
				}
				accepted++
				st.Reset(muxer.CodeTooManyStarts)
			}
		}()
		time.Sleep(time.Second) // virtual
		out := &s.(*session).conn.out
		out.mu.Lock()
		left := len(out.next)
		out.mu.Unlock()
		if left > 2*waitSize || accepted < 1000 || accepted > 20_000 {
			t.Errorf("%d bytes are left to be written, after %d streams", left, accepted)
		}
		s.CloseWith(muxer.CodeRequested, "", 0)
		b.Close()
	})
}
