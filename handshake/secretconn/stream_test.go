package secretconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

// naiveStream returns a Conn of ours and the reference peer at its other end, after the handshake.
func naiveStream(tb testing.TB) (*Conn, *naivePeer) {
	tb.Helper()
	a, b := memPipe()
	p := newNaivePeer(b)
	done := make(chan error, 1)
	go func() {
		err := p.exchange(nil)
		if err == nil {
			err = p.write(p.auth())
		}
		if err == nil {
			_, _, err = p.readAuth()
		}
		done <- err
	}()
	r := shaken{}
	r.conn, r.err = Handshake(tb.Context(), a, testKey(1), Options{})
	if err := errors.Join(r.err, <-done); err != nil {
		tb.Fatal(err)
	}
	return r.conn, p
}

// TestStream sends writes of many sizes both ways over TCP and compares the streams.
func TestStream(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	cx, cy := securedPair(t, x, y)
	rng := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	var wg sync.WaitGroup
	for _, dir := range []struct{ from, to *Conn }{{cx, cy}, {cy, cx}} {
		seed := rng.Uint64()
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 0))
			for rest := data; len(rest) > 0; {
				size := []int{0, 1, 100, 1023, 1024, 1025, 64 << 10, 200_000}[rng.IntN(8)]
				n, err := dir.from.Write(rest[:min(size, len(rest))])
				if err != nil {
					t.Error(err)
					return
				}
				if rest = rest[n:]; rng.IntN(2) == 0 || len(rest) == 0 {
					if err := dir.from.Flush(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
		wg.Go(func() {
			for rest := data; len(rest) > 0; {
				got, err := dir.to.Next()
				if err != nil || len(got) == 0 || !bytes.HasPrefix(rest, got) {
					t.Errorf("at %d: %d bytes, %v", len(data)-len(rest), len(got), err)
					return
				}
				rest = rest[len(got):]
			}
			if dir.to.Buffered() {
				t.Error("more than was sent")
			}
		})
	}
	wg.Wait()
}

// TestFrames compares the frames that we send with what the reference peer makes of them, after the pool's buffers held
// other data.
func TestFrames(t *testing.T) {
	c, p := naiveStream(t)
	for range 4 { // leave traces in the send buffer
		c.Write(bytes.Repeat([]byte{0xee}, 4000))
		c.Flush()
		for range 4 {
			if _, err := p.read(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, size := range []int{1, 5, 1023, 1024, 1025, 2048, 2049, sendSize / sealedSize * dataSize,
		sendSize/sealedSize*dataSize + 1, 100_000} {
		want := bytes.Repeat([]byte{byte(size), 0x5a}, size)[:size]
		half := size / 2
		c.Write(want[:half]) // two writes share a frame
		c.Write(want[half:])
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
		if c.writer.buf != nil {
			t.Error("the send buffer is still held after Flush")
		}
		for rest := want; len(rest) > 0; {
			got, err := p.read() // checks that the padding is zero
			if err != nil || len(got) != min(1024, len(rest)) || !bytes.HasPrefix(rest, got) {
				t.Fatalf("of %d bytes: frame of %d bytes, %v", size, len(got), err)
			}
			rest = rest[len(got):]
		}
	}
	if err := c.Flush(); err != nil || p.conn.(*memConn).in.data.Len() != 0 {
		t.Error("a Flush of nothing sent something", err)
	}
}

// TestBuffered follows Buffered through whole, empty and partial frames.
func TestBuffered(t *testing.T) {
	c, p := naiveStream(t)
	if c.Buffered() {
		t.Error("Buffered at the start")
	}
	// An empty frame, a full one, two empty ones, and most of a last one, in one flight.
	flight := append(emptyFrames(p, 1), p.frames(make([]byte, 1024))...)
	flight = append(append(flight, emptyFrames(p, 2)...), p.frames([]byte("last"))...)
	p.conn.Write(flight[:len(flight)-1])
	if got, err := c.Next(); len(got) != 1024 || err != nil {
		t.Fatal(len(got), err)
	}
	for c.reader.end-c.reader.start < sealedSize-1 || c.reader.start == 0 { // pull in what is there
		if c.Buffered() {
			t.Fatal("Buffered, but only empty frames and a part are at hand")
		}
		if c.reader.end-c.reader.start == sealedSize-1 {
			break
		}
		if err := c.reader.fill(); err != nil {
			t.Fatal(err)
		}
	}
	p.conn.Write(flight[len(flight)-1:])
	if got, err := c.Next(); string(got) != "last" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	p.conn.Write(append(p.frames([]byte("good")), make([]byte, sealedSize)...))
	if got, err := c.Next(); string(got) != "good" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	for !c.Buffered() {
		c.reader.fill()
	}
	for range 2 {
		if _, err := c.Next(); !errors.Is(err, ErrDecrypt) {
			t.Errorf("%v, want ErrDecrypt", err)
		}
	}
}

// TestNextStaysValid shows that Buffered leaves what Next returned alone.
func TestNextStaysValid(t *testing.T) {
	c, p := naiveStream(t)
	p.conn.Write(append(p.frames([]byte("first")), p.frames([]byte("second"))...))
	first, err := c.Next()
	if err != nil {
		t.Fatal(err)
	}
	c.Buffered()
	if string(first) != "first" {
		t.Errorf("%q", first)
	}
}

func TestReadAcrossFrames(t *testing.T) {
	c, p := naiveStream(t)
	want := bytes.Repeat([]byte("0123456789"), 1000)
	p.write(want)
	p.conn.(*memConn).CloseWrite()
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if err := iotest.TestReader(c, want); err != nil {
		t.Error(err)
	}
	if _, err := c.Next(); err != io.EOF {
		t.Errorf("%v, want io.EOF", err)
	}
}

func TestEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(p *naivePeer) []byte
		want error
	}{
		"between frames": {func(p *naivePeer) []byte { return nil }, io.EOF},
		"one byte":       {func(p *naivePeer) []byte { return p.frames([]byte("x"))[:1] }, io.ErrUnexpectedEOF},
		"truncated tag":  {func(p *naivePeer) []byte { return p.frames([]byte("x"))[:1043] }, io.ErrUnexpectedEOF},
		"only a tag":     {func(p *naivePeer) []byte { return make([]byte, 16) }, io.ErrUnexpectedEOF},
		"zeros":          {func(p *naivePeer) []byte { return make([]byte, 1<<20) }, ErrDecrypt},
		"length 1025":    {func(p *naivePeer) []byte { return p.sealFrame(1025, make([]byte, 1024)) }, ErrFrameLength},
		"negative":       {func(p *naivePeer) []byte { return p.sealFrame(math.MaxUint32, nil) }, ErrFrameLength},
		"empty frames":   {func(p *naivePeer) []byte { return emptyFrames(p, maxEmptyFrames+1) }, ErrEmptyFrames},
		"frame twice": {func(p *naivePeer) []byte { f := p.frames([]byte("x")); p.sent = 1; return append(f, f...) },
			ErrDecrypt},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := naiveStream(t)
			p.conn.Write(tc.make(p))
			p.conn.(*memConn).CloseWrite()
			var err error
			for err == nil {
				_, err = c.Next()
			}
			for range 2 { // it stays so
				if !errors.Is(err, tc.want) {
					t.Errorf("%v, want %v", err, tc.want)
				}
				_, err = c.Next()
			}
			if c.reader.large != nil {
				t.Error("the large buffer is still held")
			}
		})
	}
}

func TestNonceExhaustion(t *testing.T) {
	last := nonce{count: math.MaxUint64 - 2}
	last.next()
	x, y := memPipe()
	cx, cy := securedPair(t, x, y)
	cx.writer.nonce, cy.reader.nonce = last, last
	if _, err := cx.Write(make([]byte, 3*1024)); !errors.Is(err, ErrNonceExhausted) {
		t.Errorf("Write: %v, want ErrNonceExhausted", err)
	}
	if err := cx.Flush(); !errors.Is(err, ErrNonceExhausted) {
		t.Errorf("Flush: %v, want ErrNonceExhausted", err)
	}
	if y.in.data.Len() != 0 {
		t.Error("something was sent")
	}

	x, y = memPipe()
	cx, cy = securedPair(t, x, y)
	cx.writer.nonce, cy.reader.nonce = last, last
	cx.Write([]byte("the last one"))
	if err := cx.Flush(); err != nil {
		t.Fatal(err)
	}
	if got, err := cy.Next(); string(got) != "the last one" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	x.Write(make([]byte, sealedSize))
	if _, err := cy.Next(); !errors.Is(err, ErrNonceExhausted) {
		t.Errorf("Next: %v, want ErrNonceExhausted", err)
	}
}

// TestBuffersGoBack shows that a Conn that waits holds no large buffer, whatever it received before.
func TestBuffersGoBack(t *testing.T) {
	for _, size := range []int{1, 1024, 3000, 62 * 1024, 64 * 1024, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			x, y := memPipe()
			cx, cy := securedPair(t, x, y)
			cx.Write(make([]byte, size))
			cx.Flush()
			for got := 0; got < size; {
				p, err := cy.Next()
				if err != nil {
					t.Fatal(err)
				}
				got += len(p)
			}
			cy.SetReadDeadline(time.Now().Add(-time.Second))
			if _, err := cy.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if cy.reader.large != nil {
				t.Error("the large buffer is still held")
			}
			cy.SetReadDeadline(time.Time{})
			cx.Write([]byte("again"))
			cx.Flush()
			if p, err := cy.Next(); string(p) != "again" || err != nil {
				t.Errorf("%q, %v", p, err)
			}
		})
	}
}

// TestReadDeadline ends a read within a frame, which a later read completes.
func TestReadDeadline(t *testing.T) {
	c, p := naiveStream(t)
	frame := p.frames([]byte("whole"))
	p.conn.Write(frame[:500])
	for range 2 {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("%v, want the deadline", err)
		}
	}
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
	c.SetDeadline(time.Time{})
	p.conn.Write(frame[500:])
	if got, err := c.Next(); string(got) != "whole" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWriteDeadline fills the connection until a write ends at its deadline, and goes on from there once the remote
// reads.
func TestWriteDeadline(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	cx, cy := securedPair(t, x, y)
	data := make([]byte, 32<<20) // more than the sockets' buffers
	for i := range data {
		data[i] = byte(i >> 10)
	}
	cx.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
	n, err := cx.Write(data)
	if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n >= len(data) {
		t.Fatalf("%d bytes, %v, want the deadline", n, err)
	}
	if err := cx.Flush(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Flush: %v, want the deadline", err)
	}
	done := make(chan error, 1)
	go func() {
		defer cy.Close()
		for rest := data; len(rest) > 0; {
			p, err := cy.Next()
			if err != nil || !bytes.HasPrefix(rest, p) {
				done <- fmt.Errorf("at %d: %d bytes that differ, %v", len(data)-len(rest), len(p), err)
				return
			}
			rest = rest[len(p):]
		}
		done <- nil
	}()
	cx.SetWriteDeadline(time.Now().Add(handshaketest.Timeout))
	if m, err := cx.Write(data[n:]); err != nil || m != len(data)-n {
		t.Error(m, err)
	}
	if err := cx.Flush(); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestClose closes under a reader and a writer that are busy, or wait.
func TestClose(t *testing.T) {
	for _, remoteReads := range []bool{true, false} {
		x, y := handshaketest.TCPPair(t)
		cx, cy := securedPair(t, x, y)
		var wg sync.WaitGroup
		started := make(chan struct{}, 1)
		wg.Go(func() {
			p := make([]byte, 10_000)
			for {
				_, err := cx.Write(p)
				if err == nil {
					err = cx.Flush()
				}
				select {
				case started <- struct{}{}:
				default:
				}
				if err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Write: %v, want net.ErrClosed", err)
					}
					return
				}
			}
		})
		wg.Go(func() {
			for {
				cx.Buffered()
				if _, err := cx.Next(); err != nil {
					if !errors.Is(err, net.ErrClosed) {
						t.Errorf("Next: %v, want net.ErrClosed", err)
					}
					return
				}
			}
		})
		if remoteReads {
			wg.Go(func() {
				for {
					p, err := cy.Next()
					if err == nil {
						cy.Write(p)
						err = cy.Flush()
					}
					if err != nil {
						return
					}
				}
			})
		}
		for range 4 {
			<-started
			if !remoteReads {
				break
			}
		}
		wg.Go(func() { cx.Close() })
		cx.Close()
		wg.Wait()
		if n, err := cx.Write([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Error(n, err)
		}
		cy.Close()
	}
}

func TestNoProgress(t *testing.T) {
	a, _ := memPipe()
	c := newConn(oneByteConn{a, noProgress{}})
	if _, err := c.Next(); err != io.ErrNoProgress {
		t.Errorf("%v, want io.ErrNoProgress", err)
	}
}

type noProgress struct{}

func (noProgress) Read([]byte) (int, error) { return 0, nil }

// TestAllocations shows that neither end allocates for a message.
func TestAllocations(t *testing.T) {
	x, y := memPipe()
	x.out.data.Grow(1 << 20)
	cx, cy := securedPair(t, x, y)
	for _, size := range []int{100, 50_000} {
		p := make([]byte, size)
		if n := testing.AllocsPerRun(200, func() {
			cx.Write(p)
			cx.Flush()
			for got := 0; got < size; {
				q, err := cy.Next()
				if err != nil {
					t.Fatal(err)
				}
				got += len(q)
			}
		}); n >= 1 { // a collection may empty the pools
			t.Errorf("%v allocations for a message of %d bytes", n, size)
		}
	}
}
