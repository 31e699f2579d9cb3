package noise

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// The usual library at the other end, in both roles.
func TestAgainstFlynn(t *testing.T) {
	for _, side := range sides {
		data := bytes.Repeat([]byte("0123456789"), 6000)
		r := attack(t, side, func(p *naivePeer) error {
			if err := p.reach(side == muxer.Listener); err != nil {
				return err
			}
			if err := p.send(p.proof()); err != nil {
				return err
			}
			if side == muxer.Dialer {
				plain, err := p.receive()
				if err != nil {
					return err
				}
				if got, err := decodePayload(plain); err != nil || len(got.muxers) != 1 ||
					string(got.muxers[0]) != "/yamux/1.0.0" {
					return errors.New("our payload")
				}
			}
			for n := 1; n < len(data); n *= 3 {
				if err := p.write(data[:n]); err != nil {
					return err
				}
			}
			return nil
		})
		if r.err != nil {
			t.Fatal(r.err)
		}
		if r.conn.Muxer() != "" {
			t.Errorf("muxer %q with a remote that offers none", r.conn.Muxer())
		}
		for n := 1; n < len(data); n *= 3 {
			got := make([]byte, n)
			if _, err := io.ReadFull(r.conn, got); err != nil || !bytes.Equal(got, data[:n]) {
				t.Fatalf("to a %s, %d bytes: %v", side, n, err)
			}
		}
	}
}

func TestMuxers(t *testing.T) {
	a, b, c := "/a", "/b", "/c"
	for _, tc := range []struct {
		dialer, listener []string
		want             string
	}{
		{[]string{a}, []string{a}, a},
		{[]string{a, b}, []string{b, a}, a},
		{[]string{b, a}, []string{c, a, b}, b},
		{[]string{c, a}, []string{b, a}, a},
		{[]string{a}, []string{b}, ""},
		{nil, []string{a}, ""},
		{[]string{a}, nil, ""},
		{nil, nil, ""},
	} {
		x, y := memPipe()
		d, l := dialing(), listening()
		d.Muxers, l.Muxers = tc.dialer, tc.listener
		d.Want, l.Want = listenerKey.ID(), dialerKey.ID()
		rd, rl := secureBoth(x, y, d, l)
		if err := errors.Join(rd.err, rl.err); err != nil {
			t.Fatal(err)
		}
		if rd.conn.Muxer() != tc.want || rl.conn.Muxer() != tc.want {
			t.Errorf("%v and %v: %q and %q, want %q", tc.dialer, tc.listener, rd.conn.Muxer(), rl.conn.Muxer(), tc.want)
		}
		if rd.conn.RemotePublicKey() != listenerKey.Public() || rl.conn.RemotePublicKey() != dialerKey.Public() {
			t.Error("keys")
		}
	}
	// A list of more than a remote may send counts as none; one of ours that is too long is our mistake.
	msg := payloadOf([]byte("k"), []byte("s"))
	list := []string{}
	for range maxMuxers {
		list = append(list, a)
	}
	if p, err := decodePayload(appendMuxers(bytes.Clone(msg), list)); err != nil || len(p.muxers) != maxMuxers {
		t.Errorf("%d muxers, %v", len(p.muxers), err)
	}
	if p, err := decodePayload(appendMuxers(bytes.Clone(msg), append(list, a))); err != nil || len(p.muxers) != 0 {
		t.Errorf("%d muxers of too many, %v", len(p.muxers), err)
	}
	x, _ := memPipe()
	d := dialing()
	d.Muxers = []string{string(make([]byte, maxOurMuxers))}
	if r := secure(New(), x, d); r.err == nil {
		t.Error("a list of 2 KiB was sent")
	}
}

// Whatever the sizes of writes and reads, what arrives is what was sent, both ways at once, over TCP.
func TestStream(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	cx, cy := securedPair(t, x, y)
	rnd := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	var group sync.WaitGroup
	for i, pair := range [][2]*Conn{{cx, cy}, {cy, cx}} {
		from, to := pair[0], pair[1]
		seed := uint64(i)
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 3))
			for left := data; len(left) > 0; {
				n := min(size(rnd), len(left))
				if k, err := from.Write(left[:n]); k != n || err != nil {
					t.Errorf("wrote %d of %d: %v", k, n, err)
					return
				}
				left = left[n:]
			}
		})
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, 4))
			buf := make([]byte, 1<<20)
			for left := data; len(left) > 0; {
				n, err := to.Read(buf[:size(rnd)])
				if err != nil || n > len(left) || !bytes.Equal(buf[:n], left[:n]) {
					t.Errorf("read %d with %d to come: %v", n, len(left), err)
					return
				}
				left = left[n:]
			}
		})
	}
	group.Wait()
}

// size is anything from a byte to a megabyte, often near a limit.
func size(rnd *rand.Rand) int {
	switch rnd.IntN(8) {
	case 0:
		return MaxPlaintext - 2 + rnd.IntN(5)
	case 1:
		return 2*MaxPlaintext - 2 + rnd.IntN(5)
	case 2:
		return shortSize - lengthSize - tagSize - 2 + rnd.IntN(5)
	}
	return 1 + rnd.IntN(1<<rnd.IntN(20))
}

// Concurrent writers' messages stay whole, and concurrent readers get each byte once.
func TestConcurrentUse(t *testing.T) {
	x, y := memPipe()
	cx, cy := securedPair(t, x, y)
	const writers, times, n = 4, 50, 1000
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for range times {
				if _, err := cx.Write(bytes.Repeat([]byte{byte(i)}, n)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	var counts [writers]int
	group.Wait()
	x.Close()
	for range 3 {
		group.Go(func() {
			buf := make([]byte, n)
			for {
				k, err := cy.Read(buf)
				if err != nil {
					return
				}
				if !bytes.Equal(buf[:k], bytes.Repeat(buf[:1], k)) {
					t.Error("a message was mixed with another")
				}
				mu.Lock()
				counts[buf[0]] += k
				mu.Unlock()
			}
		})
	}
	group.Wait()
	for i, c := range counts {
		if c != times*n {
			t.Errorf("writer %d: %d bytes", i, c)
		}
	}
}

func TestReadDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x, y := memPipe()
		cx, cy := securedPair(t, x, y)
		sealed := &gathered{}
		cx.writer.conn = sealed
		cx.Write([]byte("hello"))
		x.Write(sealed.all[:7]) // within a message
		cy.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := cy.Read(make([]byte, 10)); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %v", n, err)
		}
		cy.SetReadDeadline(time.Time{})
		x.Write(sealed.all[7:])
		buf := make([]byte, 10)
		if n, err := cy.Read(buf); string(buf[:n]) != "hello" || err != nil {
			t.Errorf("%q, %v", buf[:n], err)
		}
		if n, err := cy.Read(nil); n != 0 || err != nil {
			t.Errorf("an empty read: %d, %v", n, err)
		}
		if n, err := cy.Write(nil); n != 0 || err != nil {
			t.Errorf("an empty write: %d, %v", n, err)
		}
	})
}

type failingConn struct {
	net.Conn
	left int
	err  error
}

func (f *failingConn) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return len(p) / 2, f.err
	}
	return len(p), nil
}

// A write that fails has sent a part of a message: nothing may follow it.
func TestWriteFails(t *testing.T) {
	for _, cause := range []error{net.ErrClosed, os.ErrDeadlineExceeded} {
		x, y := memPipe()
		cx, _ := securedPair(t, x, y)
		cx.writer.conn = &failingConn{left: 1, err: cause}
		n, err := cx.Write(make([]byte, 5*MaxPlaintext))
		if n != 2*MaxPlaintext || !errors.Is(err, cause) {
			t.Errorf("%d, %v", n, err)
		}
		cx.writer.conn = &failingConn{left: 9}
		if n, err := cx.Write([]byte("x")); n != 0 || !errors.Is(err, cause) {
			t.Errorf("%d, %v", n, err)
		}
	}
}

func TestNonceExhausted(t *testing.T) {
	x, y := memPipe()
	cx, cy := securedPair(t, x, y)
	for _, s := range []*cipherState{&cx.writer.cipher, &cy.reader.cipher} {
		s.count = math.MaxUint64 - 1
	}
	if _, err := cx.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	if _, err := cx.Write([]byte("one more")); !errors.Is(err, ErrNonceExhausted) {
		t.Error(err)
	}
	buf := make([]byte, 10)
	if n, err := cy.Read(buf); string(buf[:n]) != "last" || err != nil {
		t.Errorf("%q, %v", buf[:n], err)
	}
	x.Write(frame(make([]byte, 20)))
	if _, err := cy.Read(buf); !errors.Is(err, ErrNonceExhausted) {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	cx, cy := securedPair(t, x, y)
	for _, n := range []int{1, 100, 5000, 200_000} {
		p, q := make([]byte, n), make([]byte, n)
		if got := testing.AllocsPerRun(100, func() {
			cx.Write(p)
			if _, err := io.ReadFull(cy, q); err != nil {
				t.Fatal(err)
			}
		}); got > 0.5 && !raceEnabled {
			t.Errorf("%d bytes: %v allocations", n, got)
		}
	}
}

var _ handshake.SecureConn = (*Conn)(nil)
