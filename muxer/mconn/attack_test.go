package mconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// victim runs a session in a bubble. The test holds the other end of its connection and does what it likes.
type victim struct {
	*Session
	inbox  muxertest.Inbox
	remote net.Conn
	ended  chan struct{}
	err    error
}

func attack(t *testing.T, channels []muxer.Channel, cfg Config, f func(t *testing.T, v *victim)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ours, remote := muxertest.Pipe(64 << 10)
		s, err := New(Plain(ours), muxer.Listener, channels, cfg)
		if err != nil {
			t.Fatal(err)
		}
		v := &victim{Session: s, remote: remote, ended: make(chan struct{})}
		go func() {
			defer close(v.ended)
			v.err = s.Run(context.Background(), &v.inbox)
		}()
		f(t, v)
		s.Close(muxer.CodeBanned, "")
		remote.Close()
		<-v.ended
	})
}

// answerFirstPing plays a remote that is there at the beginning.
func (v *victim) answerFirstPing(t *testing.T) {
	t.Helper()
	ping := make([]byte, 3)
	if _, err := io.ReadFull(v.remote, ping); err != nil || !bytes.Equal(ping, pingPacket) {
		t.Fatalf("% x, %v, want a ping", ping, err)
	}
	v.remote.Write(pongPacket)
	synctest.Wait()
}

func (v *victim) isUp() bool {
	select {
	case <-v.ended:
		return false
	default:
		return true
	}
}

// endsWith waits until the session ends.
func (v *victim) endsWith(t *testing.T, code muxer.Code) {
	t.Helper()
	<-v.ended
	var ce *muxer.CloseError
	if !errors.As(v.err, &ce) || ce.Code != code {
		t.Errorf("ended with %v, want %v", v.err, code)
	}
}

func many(n int, c muxer.Channel) []muxer.Channel {
	channels := make([]muxer.Channel, n)
	for i := range channels {
		channels[i] = c
		channels[i].ID = byte(i)
	}
	return channels
}

func TestHalfMessagesAreBounded(t *testing.T) {
	const limit = 3 << 20
	attack(t, many(14, muxer.Channel{MaxMessage: 1 << 20}), Config{MaxPartial: limit}, func(t *testing.T, v *victim) {
		half := make([]byte, 1000)
		for range 1040 { // nearly 1 MiB on each of 14 channels
			for id := range 14 {
				if _, err := v.remote.Write(packet(byte(id), false, half)); err != nil {
					v.endsWith(t, muxer.CodeMessageTooBig)
					return
				}
			}
			synctest.Wait()
			if held := v.PartialBytes(); held > limit {
				t.Fatalf("unfinished messages hold %d bytes, over %d", held, limit)
			}
		}
		t.Error("13 MiB of unfinished messages were taken")
	})
	// What fits goes on as long as the remote likes, and costs nothing once it is whole.
	attack(t, many(14, muxer.Channel{MaxMessage: 1 << 20}), Config{}, func(t *testing.T, v *victim) {
		for id := range 14 {
			v.remote.Write(packet(byte(id), false, make([]byte, 1000)))
		}
		go io.Copy(io.Discard, v.remote)
		for range 180 {
			time.Sleep(20 * time.Second)
			v.remote.Write(pongPacket)
		}
		for id := range 14 {
			v.remote.Write(packet(byte(id), true, make([]byte, 1000)))
		}
		if got := v.inbox.Await(14); len(got[0].Data) != 2000 {
			t.Errorf("a message of %d bytes", len(got[0].Data))
		}
		if held := v.PartialBytes(); held != 0 {
			t.Errorf("%d bytes are still held", held)
		}
	})
}

func TestLengthPrefixThenStall(t *testing.T) {
	long := packet(5, true, make([]byte, 4<<20))
	for name, wire := range map[string][]byte{
		"last packet":       long[:20],
		"first packet":      packet(5, false, make([]byte, 4<<20))[:20],
		"unusual packet":    delimited(field(3, join(field(3, make([]byte, 4<<20)), number(1, 5))))[:20],
		"almost half of it": long[:2<<20],
	} {
		t.Run(name, func(t *testing.T) {
			attack(t, []muxer.Channel{{ID: 5}}, Config{}, func(t *testing.T, v *victim) {
				go io.Copy(io.Discard, v.remote)
				v.remote.Write(wire)
				synctest.Wait()
				if held := v.PartialBytes(); held > exactAlloc+2*len(wire) {
					t.Errorf("%d bytes were sent, %d are held", len(wire), held)
				}
			})
		})
	}
}

// TestSmallWireHugeHeap looks for messages that cost more memory than their bytes.
func TestSmallWireHugeHeap(t *testing.T) {
	var wire []byte
	for _, n := range []int{1 << 20, 100, 3000, 1 << 20, 1025, 50_000, 2000, 200_000, 1} {
		data := make([]byte, n)
		for len(data) > 1024 {
			wire = append(wire, packet(5, false, data[:1024])...)
			data = data[1024:]
		}
		wire = append(wire, packet(5, true, data)...)
	}
	for _, chunks := range [][][]byte{{wire}, cut(wire, 1)} {
		_, got, err := reading(t, []muxer.Channel{{ID: 5}}, Config{}, chunks...)
		if len(got) != 9 || err != io.EOF {
			t.Fatalf("%d messages, %v", len(got), err)
		}
		for _, m := range got {
			if c := cap(m.Data); c > len(m.Data)+len(m.Data)/4 {
				t.Errorf("a message of %d bytes holds %d", len(m.Data), c)
			}
		}
	}
	// A large message, which makes us expect another, and then beginnings of messages on every channel.
	attack(t, many(100, muxer.Channel{}), Config{MaxPartial: 30 << 20}, func(t *testing.T, v *victim) {
		large := make([]byte, 1<<20)
		for id := range 100 {
			for at := 0; at < len(large); at += 1 << 16 {
				v.remote.Write(packet(byte(id), at == len(large)-1<<16, large[at:at+1<<16]))
			}
			v.inbox.Await(1)
		}
		for id := range 100 {
			if _, err := v.remote.Write(packet(byte(id), false, []byte{1})); err != nil {
				break
			}
			synctest.Wait()
			if held := v.PartialBytes(); held > 30<<20 {
				t.Fatalf("%d bytes are held", held)
			}
		}
		v.endsWith(t, muxer.CodeMessageTooBig)
	})
}

func TestPingFlood(t *testing.T) {
	attack(t, []muxer.Channel{{ID: 5}}, Config{}, func(t *testing.T, v *victim) {
		const pings = 100_000
		flood := bytes.Repeat(pingPacket, pings)
		v.remote.Write(flood) // and we do not read
		v.remote.Write(packet(5, true, []byte("through")))
		v.inbox.Await(1)
		synctest.Wait()
		if !v.isUp() {
			t.Fatalf("ended with %v", v.err)
		}
		if sent := v.Stats().SentBytes; sent > pings*3 || sent < 3 {
			t.Errorf("%d pings were answered with %d bytes", pings, sent)
		}
	})
}

func TestRemoteThatDoesNotRead(t *testing.T) {
	stuck := func(talks bool) time.Duration {
		var took time.Duration
		attack(t, []muxer.Channel{{ID: 5, SendQueue: 100_000}}, Config{}, func(t *testing.T, v *victim) {
			v.answerFirstPing(t)
			start := time.Now()
			for v.TrySend(5, make([]byte, 1000)) {
				synctest.Wait()
			}
			for talks && v.isUp() {
				time.Sleep(50 * time.Second)
				v.remote.Write(pongPacket)
				synctest.Wait()
			}
			v.endsWith(t, muxer.CodeTimeout)
			took = time.Since(start)
		})
		return took
	}
	if d := stuck(false); d < DefaultWriteTimeout || d > DefaultWriteTimeout+DefaultPongTimeout {
		t.Errorf("a silent remote that does not read was kept for %v", d)
	}
	if d := stuck(true); d < DefaultStallTimeout || d > DefaultStallTimeout+time.Minute {
		t.Errorf("a remote that sends keep-alives, but does not read, was kept for %v", d)
	}
}

func TestSilentRemote(t *testing.T) {
	attack(t, []muxer.Channel{{ID: 5}}, Config{}, func(t *testing.T, v *victim) {
		v.answerFirstPing(t)
		start := time.Now()
		ping := make([]byte, 3)
		if _, err := io.ReadFull(v.remote, ping); err != nil || !bytes.Equal(ping, pingPacket) {
			t.Fatalf("% x, %v", ping, err)
		}
		if d := time.Since(start); d != DefaultPingInterval {
			t.Errorf("the first ping came after %v", d)
		}
		v.endsWith(t, muxer.CodeIdle)
		if !errors.Is(v.err, muxer.ErrPongTimeout) {
			t.Errorf("ended with %v", v.err)
		}
		if d := time.Since(start); d != DefaultPingInterval+DefaultPongTimeout {
			t.Errorf("a silent remote was kept for %v", d)
		}
	})
}

// TestPausedSessionSpeaks blocks Deliver and listens: there must be a sign of life well within the remote's pong
// timeout.
func TestPausedSessionSpeaks(t *testing.T) {
	attack(t, []muxer.Channel{{ID: 5}}, Config{}, func(t *testing.T, v *victim) {
		v.inbox.Pause()
		v.remote.Write(packet(5, true, nil))
		v.inbox.AwaitPaused()
		last := time.Now()
		pongs := 0
		for end := last.Add(time.Hour); time.Now().Before(end); {
			b := make([]byte, 3)
			if _, err := io.ReadFull(v.remote, b); err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(b, pongPacket) {
				pongs++
				if d := time.Since(last); d > DefaultPongTimeout*3/4 {
					t.Fatalf("no pong for %v", d)
				}
				last = time.Now()
			}
		}
		if pongs > 3600/10 {
			t.Errorf("%d pongs in an hour", pongs)
		}
		v.inbox.Resume()
		v.remote.Write(pongPacket)
		synctest.Wait()
		if !v.isUp() {
			t.Errorf("ended with %v", v.err)
		}
	})
}

func TestPingMeasures(t *testing.T) {
	attack(t, []muxer.Channel{{ID: 5}}, Config{}, func(t *testing.T, v *victim) {
		v.remote.Write(bytes.Repeat(pongPacket, 10)) // that nobody asked for
		synctest.Wait()
		go func() {
			io.ReadFull(v.remote, make([]byte, 3))
			time.Sleep(30 * time.Millisecond)
			v.remote.Write(pongPacket)
		}()
		if rtt, err := v.Ping(t.Context()); err != nil || rtt != 30*time.Millisecond || v.Stats().RTT != rtt {
			t.Errorf("RTT %v, %v, %v", rtt, v.Stats().RTT, err)
		}
	})
}

func TestRateLimits(t *testing.T) {
	const rate = 100_000
	transfer := func(cfg Config, send bool) time.Duration {
		var took time.Duration
		attack(t, []muxer.Channel{{ID: 5, SendQueue: 2 << 20}}, cfg, func(t *testing.T, v *victim) {
			start := time.Now()
			if send {
				v.Send(t.Context(), 5, make([]byte, 10*rate))
				io.CopyN(io.Discard, v.remote, 10*rate)
			} else {
				for range 10 * rate / 1000 {
					v.remote.Write(packet(5, true, make([]byte, 1000)))
				}
				for got := 0; got < 10*rate/1000; {
					got += len(v.inbox.Await(1))
				}
			}
			took = time.Since(start)
		})
		return took
	}
	for name, d := range map[string]time.Duration{
		"send": transfer(Config{SendRate: rate}, true), "receive": transfer(Config{ReceiveRate: rate}, false),
	} {
		if d < 9*time.Second || d > 11*time.Second {
			t.Errorf("%s: ten seconds' worth took %v", name, d)
		}
	}
	if d := transfer(Config{}, true); d != 0 {
		t.Errorf("without a limit it took %v", d)
	}
}

// brokenPipe is a connection whose remote has said something and hung up.
type brokenPipe struct {
	script
	written chan struct{}
}

func (c *brokenPipe) Next() ([]byte, error) {
	<-c.written
	return c.script.Next()
}
func (c *brokenPipe) Write(p []byte) (int, error) { return len(p), nil }
func (c *brokenPipe) Flush() error                { defer close(c.written); return syscall.EPIPE }

func TestLastWordsAreHeard(t *testing.T) {
	c := &brokenPipe{script{chunks: bytewise(packet(5, true, []byte("farewell")))}, make(chan struct{})}
	s, err := New(c, muxer.Listener, []muxer.Channel{{ID: 5}}, Config{})
	if err != nil {
		t.Fatal(err)
	}
	s.TrySend(5, []byte("are you there?"))
	var inbox muxertest.Inbox
	if err := s.Run(t.Context(), &inbox); err != io.EOF {
		t.Errorf("ended with %v", err)
	}
	if got := inbox.Await(1); string(got[0].Data) != "farewell" {
		t.Errorf("got %q", got[0].Data)
	}
}

// sinkhole is a connection to nobody: it takes everything and brings nothing.
type sinkhole struct{ closed chan struct{} }

func (c sinkhole) Next() ([]byte, error)       { <-c.closed; return nil, io.EOF }
func (c sinkhole) Buffered() bool              { return false }
func (c sinkhole) Write(p []byte) (int, error) { return len(p), nil }
func (c sinkhole) Flush() error                { return nil }
func (c sinkhole) Close() error                { close(c.closed); return nil }

func TestSendAllocatesNothing(t *testing.T) {
	s, err := New(sinkhole{make(chan struct{})}, muxer.Listener, many(4, muxer.Channel{SendQueue: 10_000}), Config{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); s.Run(context.Background(), &muxertest.Inbox{}) }()
	msg := make([]byte, 100)
	n := testing.AllocsPerRun(100, func() {
		for i := range 1000 {
			if err := s.Send(context.Background(), byte(i%4), msg); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 5 && !raceDetector { // under the race detector, pools forget
		t.Errorf("1000 sends made %v allocations", n)
	}
	s.Close(muxer.CodeRequested, "")
	<-done
}

// TestIdleFootprint measures sessions that have had traffic and are idle again.
func TestIdleFootprint(t *testing.T) {
	const sessions = 500
	measure := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc + m.StackInuse
	}
	var all []*Session
	done := make(chan struct{}, sessions)
	before, goroutines := measure(), runtime.NumGoroutine()
	for range sessions {
		s, err := New(sinkhole{make(chan struct{})}, muxer.Listener, many(14, muxer.Channel{}), Config{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
		go func() { s.Run(context.Background(), nil); done <- struct{}{} }()
	}
	for _, s := range all {
		for id := range 14 {
			for range 100 {
				s.Send(t.Context(), byte(id), make([]byte, 100))
			}
		}
	}
	for _, s := range all {
		for s.Stats().SentMessages < 1400 {
			runtime.Gosched()
		}
	}
	each := (measure() - before) / sessions
	t.Logf("an idle session of 14 channels holds %d bytes and %d goroutines", each,
		(runtime.NumGoroutine()-goroutines)/sessions)
	if each > 16<<10 && !raceDetector {
		t.Errorf("an idle session holds %d bytes", each)
	}
	if n := (runtime.NumGoroutine() - goroutines) / sessions; n > 2 {
		t.Errorf("an idle session has %d goroutines", n)
	}
	for _, s := range all {
		s.Close(muxer.CodeRequested, "")
	}
	for range all {
		<-done
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		channels []muxer.Channel
		cfg      Config
	}{
		"a channel twice":    {[]muxer.Channel{{ID: 1}, {ID: 1}}, Config{}},
		"a bad channel":      {[]muxer.Channel{{ID: 1, Priority: -1}}, Config{}},
		"a payload of 1":     {nil, Config{MaxPacketPayload: 1}},
		"a negative rate":    {nil, Config{SendRate: -1}},
		"a negative timeout": {nil, Config{PongTimeout: -1}},
		"a tiny packet":      {nil, Config{MaxPacket: 3}},
	} {
		if _, err := New(&script{}, muxer.Listener, c.channels, c.cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// countingInbox counts the calls of Established.
type countingInbox struct {
	muxertest.Inbox
	established atomic.Int32
}

func (c *countingInbox) Established() { c.established.Add(1) }

// The listening end asks only a remote that says nothing.
func TestPatience(t *testing.T) {
	for _, spoken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ours, remote := muxertest.Pipe(1 << 10)
			s, err := New(Plain(ours), muxer.Listener, []muxer.Channel{{ID: 5}}, Config{})
			if err != nil {
				t.Fatal(err)
			}
			var h muxertest.Inbox
			done := make(chan struct{})
			go func() { defer close(done); s.Run(t.Context(), &h) }()
			began := time.Now()
			if spoken {
				remote.Write(pongPacket)
			}
			b := make([]byte, 3)
			if _, err := io.ReadFull(remote, b); err != nil || !bytes.Equal(b, pingPacket) {
				t.Errorf("% x, %v, want a ping", b, err)
			}
			want := listenerPatience
			if spoken {
				want += firstMeasure
			}
			if took := time.Since(began); took != want {
				t.Errorf("the ping came after %v, want %v", took, want)
			}
			s.Close(muxer.CodeRequested, "")
			<-done
			remote.Close()
		})
	}
}

func TestEstablished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, remote := muxertest.Pipe(1 << 10)
		s, err := New(Plain(ours), muxer.Dialer, []muxer.Channel{{ID: 5}}, Config{})
		if err != nil {
			t.Fatal(err)
		}
		var h countingInbox
		done := make(chan struct{})
		go func() { defer close(done); s.Run(t.Context(), &h) }()
		b := make([]byte, 3)
		if _, err := io.ReadFull(remote, b); err != nil || !bytes.Equal(b, pingPacket) {
			t.Errorf("% x, %v, want a ping at once", b, err)
		}
		synctest.Wait()
		if n := h.established.Load(); n != 0 {
			t.Errorf("Established was called before the remote said anything")
		}
		remote.Write(pongPacket)
		remote.Write(packet(5, true, nil))
		h.Await(1)
		if n := h.established.Load(); n != 1 {
			t.Errorf("Established was called %d times", n)
		}
		s.Close(muxer.CodeRequested, "")
		<-done
		remote.Close()
	})
}
