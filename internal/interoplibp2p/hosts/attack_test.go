package hosts

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net"
	"sync"
	"testing"
	"time"

	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/record"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
)

// attacks are those that anyone who reaches our ports can try on this wire. Each leaves its connections open.
var attacks = []struct {
	name string
	run  func(t *testing.T, a *arena)
}{
	{"garbage", garbage}, {"endless negotiation", endlessNegotiation}, {"silence at every step", silence}, {"huge RSA keys", hugeKeys}, {"certificate tricks", certificateTricks},
	{"identify answers", identifyAnswers}, {"foreign signed records", foreignRecords}, {"excess of protocols and addresses", excess}, {"pushes", pushFlood},
	{"yamux windows", yamuxWindows}, {"yamux frames", yamuxFrames}, {"stream floods", streamFloods}, {"slow readers", slowReaders},
}

// garbage: first bytes of no wire are cut off, on both ports.
func garbage(t *testing.T, a *arena) {
	for _, first := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "\x00", "\x13/multistream/9.9.9\n", "\x13" + string(make([]byte, 2000)), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"} {
		c := a.dial(t)
		_, _ = c.Write([]byte(first))
		hangsUp(t, fmt.Sprintf("garbage %.20q", first), c, arenaTimeout-time.Second)
	}
	u, err := net.Dial("udp", a.hostPort(t, "quic"))
	if err != nil {
		t.Fatal(err)
	}
	a.keep(u)
	for i := range 1000 {
		_, _ = u.Write(bytes.Repeat([]byte{byte(i), 0xc0, 0, 0, 0, 1}, 200))
	}
}

// endlessNegotiation: who never agrees does not go on for ever, and never holds memory by a length.
func endlessNegotiation(t *testing.T, a *arena) {
	c := a.dial(t)
	_, _ = c.Write(append(lines(), protowire.AppendVarint(nil, 1<<60)...))
	hangsUp(t, "a protocol of 2^60 bytes", c, arenaTimeout-time.Second)
	c = a.dial(t)
	_ = c.SetWriteDeadline(time.Now().Add(2 * arenaTimeout))
	began := time.Now()
	for time.Since(began) < 2*arenaTimeout {
		if _, err := c.Write(lines(fmt.Sprintf("/nonsense/%d", time.Now().UnixNano()))[20:]); err != nil {
			break
		}
	}
	hangsUp(t, "proposals without end", c, arenaTimeout+time.Second)
}

// field is one field of a protocol buffer.
func field(n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), v)
}

func delimited(b []byte) []byte { return append(protowire.AppendVarint(nil, uint64(len(b))), b...) }

// answering makes a host of go-libp2p that answers identify in a way of its own.
func (a *arena) answering(t *testing.T, s gopeer.Stack, answer func(network.Stream)) p2phost.Host {
	t.Helper()
	h := a.attacker(t, s)
	h.SetStreamHandler("/ipfs/id/1.0.0", answer)
	return h
}

// identifyAnswers: what is no proper answer is refused in time and in little memory.
func identifyAnswers(t *testing.T, a *arena) {
	stop := make(chan struct{})
	defer close(stop)
	say := func(b []byte) func(network.Stream) {
		return func(s network.Stream) {
			_, _ = s.Write(b)
			<-stop
			_ = s.Reset()
		}
	}
	before := a.usage(t)
	var wg sync.WaitGroup
	for name, answer := range map[string]func(network.Stream){
		"2^62 bytes announced": say(protowire.AppendVarint(nil, 1<<62)),
		"9 KiB":                say(delimited(field(6, make([]byte, 9<<10)))),
		"garbage":              say(delimited(bytes.Repeat([]byte{0xff}, 1000))),
		"half a message":       say(delimited(field(6, make([]byte, 4<<10)))[:1000]),
		"messages without end": func(s network.Stream) {
			for m := delimited(field(3, make([]byte, 8<<10-8))); ; {
				if _, err := s.Write(m); err != nil {
					return
				}
			}
		},
		"another node's key": func(s network.Stream) {
			other, _, _ := crypto.GenerateEd25519Key(nil)
			if other == nil {
				other, _, _ = crypto.GenerateKeyPair(crypto.Ed25519, 0)
			}
			key, _ := crypto.MarshalPublicKey(other.GetPublic())
			_, _ = s.Write(delimited(field(1, key)))
			_ = s.Close()
		},
		"silence": say(nil),
		"a byte now and then": func(s network.Stream) {
			_, _ = s.Write([]byte{0xff, 0x1f})
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := s.Write([]byte{0x0a}); err != nil {
					return
				}
				<-tick.C
			}
		},
		"a closed stream": func(s network.Stream) { _ = s.Close() },
		"a reset":         func(s network.Stream) { _ = s.Reset() },
	} {
		for _, s := range []gopeer.Stack{gopeer.Stacks[0], gopeer.Stacks[2]} {
			wg.Go(func() {
				h := a.answering(t, s, answer)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				if err := h.Connect(ctx, a.info(s.Transport)); err != nil {
					return // so much the better
				}
				began := time.Now()
				for len(h.Network().ConnsToPeer(a.peerID)) > 0 {
					if time.Since(began) > arenaTimeout+2*time.Second {
						t.Errorf("identify with %s over %s: not cut off", name, s.Name)
						return
					}
					time.Sleep(10 * time.Millisecond)
				}
			})
		}
	}
	wg.Wait()
	if after := a.usage(t); after.heap > before.heap+8<<20 {
		t.Errorf("the answers took the program from %v to %v", before, after)
	}
}

// foreignRecords: whoever sends other nodes' records, even rightly signed, does not make us know those nodes (CVE-2023-40583).
func foreignRecords(t *testing.T, a *arena) {
	var others []string
	var answer []byte
	for i := range 50 {
		key, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
		if err != nil {
			t.Fatal(err)
		}
		id, err := peer.IDFromPrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		rec := peer.NewPeerRecord()
		rec.PeerID, rec.Addrs, rec.Seq = id, []ma.Multiaddr{ma.StringCast(fmt.Sprintf("/ip4/127.9.9.9/tcp/%d", 1000+i))}, 1
		envelope, err := record.Seal(rec, key)
		if err != nil {
			t.Fatal(err)
		}
		b, err := envelope.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		others = append(others, id.String())
		if len(answer) < 7<<10 {
			answer = append(answer, field(8, b)...)
		}
	}
	h := a.answering(t, gopeer.Stacks[0], func(s network.Stream) {
		_, _ = s.Write(delimited(answer))
		_ = s.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Connect(ctx, a.info("tcp")); err != nil {
		t.Fatal(err)
	}
	node.Await(t, "the attacker is linked", func() bool { return a.lists(t, h.ID().String()) })
	known, err := a.client.Store(ctx, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		for _, at := range k.Addresses {
			for i, other := range others {
				if bytes.Contains([]byte(at.Address), []byte(other)) || bytes.Contains([]byte(at.Address), fmt.Appendf(nil, "127.9.9.9/tcp/%d", 1000+i)) {
					t.Errorf("the program has learned %+v", k)
				}
			}
		}
	}
}

// excess: of very many protocols and addresses a bounded number is kept, and the peer stays.
func excess(t *testing.T, a *arena) {
	before := a.usage(t)
	var answer []byte
	for m := range 10 {
		var body []byte
		for i := 0; len(body) < 8000; i++ {
			body = append(body, field(3, fmt.Appendf(nil, "/p/%d/%d", m, i))...)
			body = append(body, field(2, ma.StringCast(fmt.Sprintf("/ip4/127.8.%d.%d/tcp/1", m, i%250)).Bytes())...)
		}
		answer = append(answer, delimited(body)...)
	}
	for range 4 {
		h := a.answering(t, gopeer.Stacks[0], func(s network.Stream) {
			_, _ = s.Write(answer)
			_ = s.Close()
		})
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Connect(ctx, a.info("tcp")); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "the attacker is linked", func() bool { return a.lists(t, h.ID().String()) })
		peers, err := a.client.Peers(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			if p.PeerID == h.ID().String() && len(p.Listen) > 64 {
				t.Errorf("of the attacker the program keeps %d addresses", len(p.Listen))
			}
		}
	}
	if after := a.usage(t); after.heap > before.heap+4<<20 {
		t.Errorf("4 such peers took the program from %v to %v", before, after)
	}
}

// pushFlood: identify pushes, many and large, cost little.
func pushFlood(t *testing.T, a *arena) {
	before := a.usage(t)
	var large []byte
	for range 10 {
		large = append(large, delimited(field(3, bytes.Repeat([]byte("/x"), 120)))...)
	}
	for _, s := range []gopeer.Stack{gopeer.Stacks[0], gopeer.Stacks[2]} {
		h := a.attacker(t, s)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := h.Connect(ctx, a.info(s.Transport)); err != nil {
			t.Fatal(err)
		}
		node.Await(t, "the attacker is linked", func() bool { return a.lists(t, h.ID().String()) })
		for i, push := range [][]byte{large, protowire.AppendVarint(nil, 1<<62), delimited(bytes.Repeat([]byte{0xff}, 1000)), nil} {
			var wg sync.WaitGroup
			for range 100 {
				wg.Go(func() {
					st, err := h.NewStream(ctx, a.peerID, "/ipfs/id/push/1.0.0")
					if err != nil {
						return
					}
					_, _ = st.Write(push)
					if i > 0 {
						return // and is left open
					}
					_ = st.Close()
				})
			}
			wg.Wait()
		}
	}
	if after := a.usage(t); after.heap > before.heap+8<<20 {
		t.Errorf("pushes took the program from %v to %v", before, after)
	}
}

// yamuxWindows: who sends more than a window allows is cut off, also in a SYN (CVE-2026-31814, CVE-2026-32314).
func yamuxWindows(t *testing.T, a *arena) {
	const window = 256 << 10
	l := a.linked(t)
	l.send(dataFrame(flagSYN, 1, lines(node.Echo)))
	for range 2048 { // the answer is not taken, so after a while the question is not read either
		if !l.send(dataFrame(0, 1, make([]byte, 16<<10))) {
			break
		}
	}
	l.cutOff(t, "data beyond the window", 2*time.Second)

	l = a.linked(t)
	l.send(dataFrame(flagSYN, 1, make([]byte, 4*window)))
	l.cutOff(t, "a SYN with data beyond the window", 2*time.Second)

	l = a.linked(t)
	l.send(frame(frameData, flagSYN, 1, math.MaxUint32, make([]byte, 1000)))
	l.cutOff(t, "a frame of 4 GiB", 2*time.Second)

	l = a.linked(t)
	l.send(dataFrame(flagSYN, 1, lines(node.Echo)))
	for range 100 { // together far beyond 2^32
		l.send(frame(frameWindow, 0, 1, math.MaxUint32, nil))
	}
	l.send(dataFrame(0, 1, []byte("hello")))
	_ = l.Close() // whether it was cut off or not: it must not have harmed the program

	before := a.usage(t)
	for range 8 { // full windows of many streams that nobody reads, without breaking any rule
		l := a.linked(t)
		for i := range uint32(64) {
			l.send(dataFrame(flagSYN, 1+2*i, lines(node.Echo)[:21]))
			if !l.send(dataFrame(0, 1+2*i, make([]byte, window-1000))) {
				break
			}
		}
	}
	if after := a.usage(t); after.heap > before.heap+8*64*window/2 {
		t.Errorf("8 links of 64 unread windows of 256 KiB took the program from %v to %v", before, after)
	} else {
		t.Logf("8 links of 64 unread windows of 256 KiB: %v, before %v", after, before)
	}
}

// yamuxFrames: frames that break the rules end the link or the stream.
func yamuxFrames(t *testing.T, a *arena) {
	for name, f := range map[string][]byte{
		"an unknown type":           frame(9, 0, 1, 0, nil),
		"an unknown version":        append([]byte{7}, frame(frameData, flagSYN, 1, 0, nil)[1:]...),
		"a stream of our own side":  dataFrame(flagSYN, 2, []byte("x")),
		"an orderly end":            frame(frameGoAway, 0, 0, 0, nil),
		"a stream that opens twice": append(frame(frameWindow, flagSYN, 1, 0, nil), frame(frameWindow, flagSYN, 1, 0, nil)...),
	} {
		l := a.linked(t)
		l.send(f)
		l.cutOff(t, name, 2*time.Second)
	}
	before := a.usage(t)
	for name, flood := range map[string][]byte{
		"pings":                    bytes.Repeat(frame(framePing, flagSYN, 0, 7, nil), 1000),
		"pongs":                    bytes.Repeat(frame(framePing, flagACK, 0, 7, nil), 1000),
		"data of unknown streams":  bytes.Repeat(dataFrame(0, 4001, make([]byte, 100)), 100),
		"resets":                   bytes.Repeat(frame(frameWindow, flagRST, 4001, 0, nil), 1000),
		"streams, opened and shut": opensAndResets(1000),
	} {
		l := a.linked(t)
		_ = l.SetWriteDeadline(time.Now().Add(time.Second))
		for range 500 {
			if !l.send(flood) {
				break
			}
		}
		_ = name
	}
	if after := a.usage(t); after.heap > before.heap+16<<20 {
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

// streamFloods: thousands of streams on one link, silent, unknown or echoed a little, cost a bounded amount.
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
		before := a.usage(t)
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
		after := a.usage(t)
		t.Logf("%s: %d streams were opened and not closed: %v, before %v", s.Name, held, after, before)
		if after.heap > before.heap+48<<20 || after.goroutines > before.goroutines+4000 {
			t.Errorf("%s: that is too much", s.Name)
		}
	}
}

// slowReaders: who asks for much and reads nothing makes us hold little.
func slowReaders(t *testing.T, a *arena) {
	before := a.usage(t)
	for range 4 {
		l := a.linked(t)
		_ = l.SetWriteDeadline(time.Now().Add(time.Second))
		for i := range uint32(200) {
			l.send(dataFrame(flagSYN, 1+2*i, lines(node.Echo)))
			for range 15 { // the answer's window is never enlarged
				if !l.send(dataFrame(0, 1+2*i, make([]byte, 16<<10))) {
					break
				}
			}
		}
	}
	after := a.usage(t)
	t.Logf("4 links with 200 echoes that nobody reads: %v, before %v", after, before)
	if after.heap > before.heap+160<<20 {
		t.Error("that is too much")
	}
}
