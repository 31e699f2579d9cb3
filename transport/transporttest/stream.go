package transporttest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
)

// exchange sends a few bytes each way.
func (h *harness) exchange(a, b transport.ByteConn) {
	h.Helper()
	for _, ends := range [][2]transport.ByteConn{{a, b}, {b, a}} {
		if n, err := ends[0].Write([]byte("hello")); n != 5 || err != nil {
			h.Fatalf("Write: %d, %v", n, err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(ends[1], got); err != nil || string(got) != "hello" {
			h.Fatalf("Read: %q, %v", got, err)
		}
	}
}

func bytesBothWays(h *harness) {
	a, b := h.pipe()
	h.exchange(a, b)
	if a.LocalAddr().String() != b.RemoteAddr().String() || a.RemoteAddr().String() != b.LocalAddr().String() {
		h.Errorf("net.Addrs differ: %s-%s and %s-%s", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}
}

// closeEndsStream: what was written before Close arrives, then io.EOF.
func closeEndsStream(h *harness) {
	a, b := h.pipe()
	if _, err := a.Write([]byte("last words")); err != nil {
		h.Fatal(err)
	}
	a.Close()
	got, err := io.ReadAll(b)
	if string(got) != "last words" || err != nil {
		h.Errorf("read %q, %v", got, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		h.Errorf("Read after the end: %d, %v", n, err)
	}
}

func closeUnblocks(h *harness) {
	a, b := h.pipe()
	var readErr, writeErr error
	reads := start(func() { _, readErr = a.Read(make([]byte, 1)) })
	writes := start(func() {
		for writeErr == nil { // no one reads: it fills all buffers
			_, writeErr = b.Write(make([]byte, 1<<20))
		}
	})
	a2, _ := h.pipe() // some work meanwhile
	a2.Close()
	b.SetReadDeadline(time.Now().Add(20 * time.Millisecond)) // let both wait
	b.Read(make([]byte, 1))
	b.Close()
	h.within("Write, after Close,", writes)
	a.Close()
	h.within("Read, after Close,", reads)
	if !errors.Is(writeErr, net.ErrClosed) {
		h.Errorf("Write: error %v does not wrap net.ErrClosed", writeErr)
	}
	if readErr == nil { // it has read what b wrote
		return
	}
	if !errors.Is(readErr, net.ErrClosed) && readErr != io.EOF {
		h.Errorf("Read: error %v does not wrap net.ErrClosed", readErr)
	}
}

func useAfterClose(h *harness) {
	a, _ := h.pipe()
	a.Close()
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		h.Errorf("Read: error %v does not wrap net.ErrClosed", err)
	}
	if _, err := a.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		h.Errorf("Write: error %v does not wrap net.ErrClosed", err)
	}
	for _, set := range []func(time.Time) error{a.SetDeadline, a.SetReadDeadline, a.SetWriteDeadline} {
		if err := set(time.Now()); !errors.Is(err, net.ErrClosed) {
			h.Errorf("Set...Deadline: error %v does not wrap net.ErrClosed", err)
		}
	}
}

type closeWriter interface{ CloseWrite() error }

func halfClose(h *harness) {
	a, b := h.pipe()
	half, ok := a.(closeWriter)
	if !ok {
		h.Fatalf("%T has no CloseWrite", a)
	}
	a.Write([]byte("question"))
	if err := half.CloseWrite(); err != nil {
		h.Fatalf("CloseWrite: %v", err)
	}
	if _, err := a.Write([]byte{1}); err == nil {
		h.Error("Write succeeds after CloseWrite")
	}
	if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
		h.Errorf("read %q, %v", got, err)
	}
	if _, err := b.Write([]byte("answer")); err != nil { // the other direction goes on
		h.Errorf("Write: %v", err)
	}
	b.Close()
	if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
		h.Errorf("read %q, %v", got, err)
	}
}

// largeTransfer sends 16 MiB each way at once, in pieces of changing sizes.
func largeTransfer(h *harness) {
	const total = 16 << 20
	a, b := h.pipe()
	var wg sync.WaitGroup
	for i, ends := range [][2]transport.ByteConn{{a, b}, {b, a}} {
		sent, received := sha256.New(), sha256.New()
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			source := make([]byte, 512<<10)
			for k := range source {
				source[k] = byte(rng.Uint32())
			}
			for left := total; left > 0; {
				n := min(left, 1+rng.IntN(1<<rng.IntN(19)))
				at := rng.IntN(len(source) - n + 1)
				sent.Write(source[at : at+n])
				if _, err := ends[0].Write(source[at : at+n]); err != nil {
					h.Errorf("Write: %v", err)
					return
				}
				left -= n
			}
		})
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(2, uint64(i)))
			buf := make([]byte, 256<<10)
			for left := total; left > 0; {
				n, err := ends[1].Read(buf[:min(left, 1+rng.IntN(len(buf)))])
				received.Write(buf[:n])
				left -= n
				if err != nil {
					h.Errorf("Read: %v, %d bytes before the end", err, left)
					return
				}
			}
		})
		defer func() {
			if !bytes.Equal(sent.Sum(nil), received.Sum(nil)) {
				h.Errorf("direction %d: other bytes have arrived than were sent", i)
			}
		}()
	}
	done := start(wg.Wait)
	h.within("a transfer of 16 MiB each way", done)
}

// backpressure: a remote that does not read stops the writer, and buffers are bounded.
func backpressure(h *harness) {
	const bound = 64 << 20
	a, b := h.pipe()
	sent := h.fill(a, bound)
	if sent > bound {
		h.Fatalf("%d bytes were taken without a reader", sent)
	}
	a.SetWriteDeadline(time.Time{})
	done := start(func() {
		if _, err := io.CopyN(io.Discard, b, int64(sent)); err != nil {
			h.Errorf("Read: %v", err)
		}
	})
	h.within("reading what has waited", done)
	h.exchange(a, b)
}

// fill writes to c until a short deadline passes while it waits; it returns how many bytes were taken.
func (h *harness) fill(c transport.ByteConn, bound int) int {
	h.Helper()
	sent := 0
	chunk := make([]byte, 256<<10)
	for sent <= bound {
		c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		n, err := c.Write(chunk)
		sent += n
		if err != nil {
			h.wantTimeout("Write", err)
			return sent
		}
	}
	return sent
}

func (h *harness) wantTimeout(op string, err error) {
	h.Helper()
	var netErr net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &netErr) || !netErr.Timeout() {
		h.Errorf("%s: error %v is no timeout", op, err)
	}
}

func deadlinePast(h *harness) {
	a, b := h.pipe()
	b.Write([]byte("bytes that wait"))
	a.SetDeadline(time.Now().Add(-time.Second))
	for range 3 {
		n, err := a.Read(make([]byte, 4))
		if n != 0 {
			h.Errorf("Read after its deadline: %d bytes", n)
		}
		h.wantTimeout("Read", err)
		n, err = a.Write([]byte("x"))
		if n != 0 {
			h.Errorf("Write after its deadline: %d bytes", n)
		}
		h.wantTimeout("Write", err)
	}
	a.SetDeadline(time.Time{})
	if _, err := io.ReadFull(a, make([]byte, len("bytes that wait"))); err != nil {
		h.Errorf("Read: %v", err)
	}
	h.exchange(a, b) // nothing was lost, nothing sent
}

func deadlineFuture(h *harness) {
	a, b := h.pipe()
	h.fill(b, 64<<20)
	begun := time.Now()
	b.SetDeadline(begun.Add(50 * time.Millisecond))
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := b.Read(make([]byte, 1))
		h.wantTimeout("Read", err)
	})
	wg.Go(func() {
		_, err := b.Write(make([]byte, 4<<20)) // more than a kernel finds room for after all
		h.wantTimeout("Write", err)
	})
	h.within("a deadline", start(wg.Wait))
	if took := time.Since(begun); took < 50*time.Millisecond {
		h.Errorf("the deadline of 50 ms passed after %v", took)
	}
	a.Close()
}

// deadlineReset: a deadline that is moved or taken away while a call waits counts as it is now.
func deadlineReset(h *harness) {
	a, b := h.pipe()
	a.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	done := start(func() {
		if _, err := a.Read(make([]byte, 5)); err != nil {
			h.Errorf("Read: %v, its deadline was taken away", err)
		}
	})
	a.SetReadDeadline(time.Time{})
	b.SetReadDeadline(time.Now().Add(80 * time.Millisecond))
	_, err := b.Read(make([]byte, 1)) // until after the first deadline
	h.wantTimeout("Read", err)
	b.Write([]byte("hello"))
	h.within("Read", done)
}

// deadlineWakes: a deadline in the past ends a call that waits.
func deadlineWakes(h *harness) {
	a, b := h.pipe()
	h.fill(a, 64<<20)
	a.SetWriteDeadline(time.Time{})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := a.Read(make([]byte, 1))
		h.wantTimeout("Read", err)
	})
	wg.Go(func() {
		_, err := a.Write(make([]byte, 4<<20))
		h.wantTimeout("Write", err)
	})
	b.SetReadDeadline(time.Unix(1, 0))
	done := start(wg.Wait)
	a.SetDeadline(time.Unix(1, 0))
	h.within("a call, after its deadline was set to the past,", done)
}

func emptyReadAndWrite(h *harness) {
	a, b := h.pipe()
	if n, err := a.Write(nil); n != 0 || err != nil {
		h.Errorf("Write(nil): %d, %v", n, err)
	}
	if n, err := b.Read(nil); n != 0 || err != nil {
		h.Errorf("Read(nil): %d, %v", n, err)
	}
	h.exchange(a, b)
}

// concurrentCalls calls everything at once; the race detector and the deadline judge.
func concurrentCalls(h *harness) {
	a, b := h.pipe()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(fn func()) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					fn()
				}
			}
		})
	}
	for _, c := range []transport.ByteConn{a, b} {
		for range 2 {
			loop(func() { c.Read(make([]byte, 1024)) })
			loop(func() { c.Write(make([]byte, 1024)) })
		}
		loop(func() { c.SetReadDeadline(time.Now().Add(time.Millisecond)) })
		loop(func() { c.SetWriteDeadline(time.Now().Add(time.Millisecond)) })
		loop(func() { c.LocalMultiaddr(); c.RemoteMultiaddr(); c.LocalAddr(); c.RemoteAddr() })
	}
	c, d := h.connect(h.listen())
	d.(transport.ByteConn).SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	d.(transport.ByteConn).Read(make([]byte, 1))
	c.Close()
	close(stop)
	a.Close()
	b.Close()
	h.within("concurrent calls", start(wg.Wait))
}

// writesStayTogether: two goroutines' writes are not mixed, even where each waits for room many times.
func writesStayTogether(h *harness) {
	const size = 1 << 20
	a, b := h.pipe()
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			if _, err := a.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				h.Errorf("Write: %v", err)
			}
		})
	}
	seen := make(map[byte]bool)
	for range 4 {
		got := make([]byte, size)
		if _, err := io.ReadFull(b, got); err != nil {
			h.Fatalf("Read: %v", err)
		}
		if !bytes.Equal(got, bytes.Repeat(got[:1], size)) || seen[got[0]] {
			h.Fatal("the bytes of several calls are mixed")
		}
		seen[got[0]] = true
	}
	wg.Wait()
}

// writeToClosed: a writer learns that the remote has hung up.
func writeToClosed(h *harness) {
	a, b := h.pipe()
	b.Close()
	a.SetWriteDeadline(time.Now().Add(patience))
	for {
		_, err := a.Write(make([]byte, 4096))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			h.Fatal("Write never learns that the remote has hung up")
		}
		if err != nil {
			return
		}
	}
}
