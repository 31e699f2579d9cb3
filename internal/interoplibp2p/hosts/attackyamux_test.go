package hosts

import (
	"bytes"
	"context"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
)

// yamuxWindow is what each direction of a stream begins with.
const yamuxWindow = 256 << 10

// yamuxWindows sends more than a window allows, also in a SYN, and must be cut off (CVE-2026-31814, CVE-2026-32314).
func yamuxWindows(t *testing.T, a *arena) {
	l := a.linked(t)
	l.send(dataFrame(flagSYN, 1, lines(node.Echo)))
	for range 2048 { // we read no answer, so after a while the program reads no question either
		if !l.send(dataFrame(0, 1, make([]byte, 16<<10))) {
			break
		}
	}
	l.cutOff(t, "data beyond the window", 2*time.Second)

	l = a.linked(t)
	l.send(dataFrame(flagSYN, 1, make([]byte, 4*yamuxWindow)))
	l.cutOff(t, "a SYN with data beyond the window", 2*time.Second)

	l = a.linked(t)
	l.send(frame(frameData, flagSYN, 1, math.MaxUint32, make([]byte, 1000)))
	l.cutOff(t, "a frame of 4 GiB", 2*time.Second)

	l = a.linked(t)
	l.send(dataFrame(flagSYN, 1, lines(node.Echo)))
	for range 100 { // together far beyond 2^32
		l.send(frame(frameWindow, 0, 1, math.MaxUint32, nil))
	}
	l.cutOff(t, "a window that overflows", 2*time.Second)
}

// unreadData fills the windows of all its streams and reads no answer, so that we cannot go on reading. We must hold a
// bounded amount.
func unreadData(t *testing.T, a *arena) {
	const links, streams, bound = 3, 250, 128 << 20 // the arena's max_unread
	before := a.Usage(t)
	var all []*rawLink
	for range links {
		l := a.linked(t)
		all = append(all, l)
		for i := range uint32(streams) {
			l.send(dataFrame(flagSYN, 1+2*i, lines(node.Echo)))
			l.spend(1+2*i, len(lines(node.Echo)))
		}
	}
	sent := 0
	for again := true; again; {
		again = false
		for _, l := range all {
			for i := range uint32(streams) {
				if n := min(l.allowed(1+2*i), 16<<10); n > 0 && l.send(dataFrame(0, 1+2*i, make([]byte, n))) {
					l.spend(1+2*i, n)
					sent += n
					again = true
				}
			}
		}
	}
	after := a.Usage(t)
	t.Logf("%d links of %d streams took %d MiB: %v, before %v", links, streams, sent>>20, after, before)
	if after.Heap > before.Heap+bound+bound/2 { // buffers are larger than what is in them
		t.Error("that is too much")
	}
}

// yamuxFrames sends frames that break the rules, which must end the link or the stream.
func yamuxFrames(t *testing.T, a *arena) {
	for name, f := range map[string][]byte{
		"an unknown type":          frame(9, 0, 1, 0, nil),
		"an unknown version":       append([]byte{7}, frame(frameData, flagSYN, 1, 0, nil)[1:]...),
		"a stream of our own side": dataFrame(flagSYN, 2, []byte("x")),
		"an orderly end":           frame(frameGoAway, 0, 0, 0, nil),
		"a stream that opens twice": append(frame(frameWindow, flagSYN, 1, 0, nil),
			frame(frameWindow, flagSYN, 1, 0, nil)...),
	} {
		l := a.linked(t)
		l.send(f)
		l.cutOff(t, name, 2*time.Second)
	}
	before := a.Usage(t)
	for _, flood := range [][]byte{
		bytes.Repeat(frame(framePing, flagSYN, 0, 7, nil), 1000),
		bytes.Repeat(frame(framePing, flagACK, 0, 7, nil), 1000),
		bytes.Repeat(dataFrame(0, 4001, make([]byte, 100)), 100), // of an unknown stream
		bytes.Repeat(frame(frameWindow, flagRST, 4001, 0, nil), 1000), opensAndResets(1000),
	} {
		l := a.linked(t)
		_ = l.SetWriteDeadline(time.Now().Add(time.Second))
		for range 100 {
			if !l.send(flood) {
				break
			}
		}
	}
	if after := a.Usage(t); after.Heap > before.Heap+16<<20 || after.Goroutines > before.Goroutines+600 {
		t.Errorf("floods of frames took the program from %v to %v", before, after)
	}
}

func opensAndResets(n uint32) (b []byte) {
	for i := range n {
		b = append(b, frame(frameWindow, flagSYN, 1+2*i, 0, nil)...)
		b = append(b, frame(frameWindow, flagRST, 1+2*i, 0, nil)...)
	}
	return b
}

// streamFloods opens thousands of streams on one link: silent, unknown or echoed a little. They must cost a bounded
// amount.
func streamFloods(t *testing.T, a *arena) {
	const each = 3000
	for _, s := range []gopeer.Stack{gopeer.Stacks[0], gopeer.Stacks[2]} {
		h := a.attacker(t, s)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := h.Connect(ctx, a.info(s.Transport)); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "the attacker is linked", func() bool { return a.lists(t, h.ID().String()) })
		before := a.Usage(t)
		conn := h.Network().ConnsToPeer(a.peerID)[0]
		var wg sync.WaitGroup
		var mu sync.Mutex
		held := 0
		for worker := range 30 {
			wg.Go(func() {
				for i := range each / 30 {
					st, err := conn.NewStream(ctx)
					if err != nil {
						return
					}
					switch (worker + i) % 3 {
					case 0: // says nothing
						_, _ = st.Write([]byte{0x13})
					case 1:
						_, _ = st.Write(lines("/nonsense/1.0.0"))
					case 2:
						_, _ = st.Write(append(lines(node.Echo), make([]byte, 1000)...))
					}
					mu.Lock()
					held++
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		after := a.Usage(t)
		t.Logf("%s: %d streams were opened and not closed: %v, before %v", s.Name, held, after, before)
		if held < 600 {
			t.Errorf("%s: no more than %d streams could be opened", s.Name, held)
		}
		// 512 in use, 256 that are silent
		if after.Heap > before.Heap+24<<20 || after.Goroutines > before.Goroutines+1100 {
			t.Errorf("%s: that is too much", s.Name)
		}
	}
}
