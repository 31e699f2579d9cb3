package interop

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

const echoID = int64(cometpeer.EchoChannel)

// attacks holds the attacks that anyone who reaches our port can try on this wire. Each leaves its connections open.
// The node must serve an honest peer meanwhile and afterwards, and shrink to its old size after they are closed.
var attacks = []struct {
	name string
	run  func(t *testing.T, a *arena)
}{
	{"keys of low order", func(t *testing.T, a *arena) {
		one := append([]byte{1}, make([]byte, 31)...)
		minusOne := append(append([]byte{0xec}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f)
		for _, point := range [][]byte{make([]byte, 32), one, minusOne} {
			c := a.dial(t)
			if _, err := c.Write(append([]byte{0x22, 0x0a, 0x20}, point...)); err != nil {
				t.Error(err)
			}
			hangsUp(t, "a key of low order", c, 2*time.Second)
		}
	}},
	{"silence at every step", func(t *testing.T, a *arena) {
		hello := append([]byte{0x22, 0x0a, 0x20, 9}, make([]byte, 31)...) // 9 is the base point
		var wg sync.WaitGroup
		for name, first := range map[string][]byte{"nothing": nil, "one byte": hello[:1], "half a key": hello[:20],
			"a key": hello, "a key and half a frame": append(hello, make([]byte, 500)...)} {
			c := a.dial(t)
			if _, err := c.Write(first); err != nil {
				t.Error(err)
			}
			wg.Go(func() { hangsUp(t, "silent after "+name, c, 9*time.Second) })
		}
		for name, first := range map[string][]byte{"a proof": nil, "a node info's length": {0x80, 0x02},
			"half a node info": infoOf(t, "00")[:20]} {
			c := a.secured(t)
			say(c, first)
			wg.Go(func() { secretHangsUp(t, "silent after "+name, c, 9*time.Second) })
		}
		wg.Wait()
	}},
	{"garbage", func(t *testing.T, a *arena) {
		for _, first := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "\x00", "\x22",
			"\x22\x0a\x20" + string(bytes.Repeat([]byte{0xff}, 2000))} {
			c := a.dial(t)
			if _, err := c.Write([]byte(first)); err != nil {
				t.Error(err)
			}
			if first != "\x22" {
				hangsUp(t, "garbage", c, 3*time.Second)
			}
		}
	}},
	{"oversized node info", func(t *testing.T, a *arena) {
		c := a.secured(t)
		say(c, delimited(bytes.Repeat([]byte{1<<3 | 2, 0}, 6000)))
		secretHangsUp(t, "a node info of 12 kB", c, 2*time.Second)
		c = a.secured(t)
		say(c, protowire.AppendVarint(nil, 1<<62))
		secretHangsUp(t, "a node info of 2^62 bytes", c, 2*time.Second)
	}},
	{"a length, then a stall", func(t *testing.T, a *arena) {
		before := a.Usage(t)
		for range 16 {
			say(a.link(t), protowire.AppendVarint(nil, 4<<20))
		}
		for range 16 {
			p := packetOf(echoID, true, make([]byte, 4<<20))
			say(a.link(t), p[:20])
		}
		if after := a.Usage(t); after.Heap > before.Heap+16<<20 {
			t.Errorf("32 lengths of 4 MiB took the memory from %v to %v", before, after)
		}
		c := a.link(t)
		say(c, protowire.AppendVarint(nil, 1<<62))
		secretHangsUp(t, "a packet of 2^62 bytes", c, 2*time.Second)
	}},
	{"half a message on each channel, held", func(t *testing.T, a *arena) {
		before := a.Usage(t)
		const held, peers = 7 << 20, 8 // the echo channel takes messages of up to 8 MiB
		piece := make([]byte, 64<<10)
		for range peers {
			c := a.link(t)
			for range held / len(piece) {
				if !say(c, packetOf(echoID, false, piece)) {
					t.Fatal("half a message was refused")
				}
			}
			say(c, packetOf(0, false, piece[:60<<10]))
		}
		now := a.Usage(t)
		t.Logf("%d peers hold 7 MiB of half messages each: %v, before %v", peers, now, before)
		if now.Heap > before.Heap+3*peers*held {
			t.Error("that takes more than three times their size")
		}
		c := a.link(t)
		for range 64 << 20 / len(piece) {
			if !say(c, packetOf(echoID, false, piece)) {
				break
			}
		}
		secretHangsUp(t, "a message that never ends", c, 2*time.Second)
	}},
	{"unknown and impossible channels", func(t *testing.T, a *arena) {
		for _, id := range []int64{0x55, -1, -echoID, 256, echoID + 256, 1<<31 - 1, -1 << 31} {
			c := a.link(t)
			say(c, packetOf(id, true, []byte("hello")))
			secretHangsUp(t, fmt.Sprintf("a message for channel %d", id), c, 2*time.Second)
		}
	}},
	{"ping flood", func(t *testing.T, a *arena) {
		for range 4 {
			c := a.link(t)
			_ = c.SetDeadline(time.Now().Add(2 * time.Second))
			burst := bytes.Repeat(pingOf(), 20_000)
			for range 50 { // a million pings, and no pong is read
				if !say(c, burst) {
					break
				}
			}
			_ = c.SetDeadline(time.Time{})
		}
	}},
	{"flood of empty and tiny messages", func(t *testing.T, a *arena) {
		for range 4 {
			c := a.link(t)
			_ = c.SetDeadline(time.Now().Add(2 * time.Second))
			burst := bytes.Repeat(packetOf(echoID, true, nil), 10_000)
			for range 50 {
				if !say(c, burst) {
					break
				}
			}
			_ = c.SetDeadline(time.Time{})
		}
	}},
	{"unsolicited PEX answers", func(t *testing.T, a *arena) {
		c := a.link(t)
		for range 20 {
			if !say(c, packetOf(0, true, pexAnswer(10))) {
				break
			}
		}
		secretHangsUp(t, "unsolicited addresses", c, 3*time.Second)
	}},
	{"PEX answers that are too large", func(t *testing.T, a *arena) {
		c := a.link(t)
		say(c, packetOf(0, true, pexAnswer(4000)))
		secretHangsUp(t, "4,000 addresses", c, 3*time.Second)
		c = a.link(t) // more than fit: truncated, not punished
		say(c, packetOf(0, true, pexAnswer(600)))
	}},
	{"PEX request flood", func(t *testing.T, a *arena) {
		c := a.link(t)
		say(c, bytes.Repeat(packetOf(0, true, pexRequest()), 1000))
		secretHangsUp(t, "1,000 requests", c, 3*time.Second)
	}},
	{"slow readers", func(t *testing.T, a *arena) {
		before := a.Usage(t)
		request := packetOf(echoID, true, make([]byte, 1<<20))
		var wg sync.WaitGroup
		for range 4 {
			c := a.link(t)
			_ = c.SetDeadline(time.Now().Add(3 * time.Second))
			wg.Go(func() {
				for range 64 { // request 64 MiB, read nothing
					if !say(c, request) {
						break
					}
				}
				_ = c.SetDeadline(time.Time{})
			})
		}
		wg.Wait()
		after := a.Usage(t)
		t.Logf("4 slow readers: %v, before %v", after, before)
		if after.Heap > before.Heap+4*40<<20 {
			t.Error("unread answers hold too much memory")
		}
	}},
	{"half of the inbound slots, idle", func(t *testing.T, a *arena) {
		for range 20 {
			a.link(t)
		}
	}},
	{"inbound flood", func(t *testing.T, a *arena) {
		f := startFlood(t, a.TCP(t), 8, 64, func(c net.Conn) { _, _ = c.Write([]byte{0x22}) })
		waitFor(t, 10*time.Second, "500 connections that begin a handshake",
			func() bool { return f.open.Load() >= 500 })
	}},
}

// TestAttacks runs the attacks against the real program, over TCP.
func TestAttacks(t *testing.T) {
	a := newArena(t)
	a.serves(t, "at the start")
	start := a.Usage(t)
	t.Logf("at the start: %v", start)
	for _, attack := range attacks {
		ok := t.Run(attack.name, func(t *testing.T) {
			t.Cleanup(a.hangUp)
			attack.run(t, a)
			t.Logf("an honest peer is served within %v", a.serves(t, "under attack"))
		})
		a.serves(t, "after "+attack.name)
		var now programtest.Usage
		if !within(20*time.Second, func() bool {
			now = a.Usage(t)
			return now.Settled(start)
		}) {
			t.Errorf("after %q the node keeps %v, at the start %v", attack.name, now, start)
		}
		if !ok {
			t.Logf("after %q: %v", attack.name, now)
		}
	}
}
