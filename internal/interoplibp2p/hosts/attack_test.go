package hosts

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	gotls "github.com/libp2p/go-libp2p/p2p/security/tls"
	lib "github.com/quic-go/quic-go"
	"google.golang.org/protobuf/encoding/protowire"
)

// attacks holds the attacks that anyone who reaches our ports can try on this wire. Each leaves its connections open.
var attacks = []struct {
	name string
	run  func(t *testing.T, a *arena)
}{
	{"garbage", garbage}, {"endless negotiation", endlessNegotiation}, {"silence at every step", silence},
	{"huge RSA keys", hugeKeys}, {"certificate tricks", certificateTricks},
	{"identify answers", identifyAnswers}, {"foreign signed records", foreignRecords},
	{"excess of protocols and addresses", excess}, {"pushes", pushFlood},
	{"yamux windows", yamuxWindows}, {"yamux frames", yamuxFrames}, {"stream floods", streamFloods},
	{"unread data", unreadData},
}

// garbage sends first bytes of no wire to both ports, which must be cut off.
func garbage(t *testing.T, a *arena) {
	for _, first := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01", "\x00",
		"\x13/multistream/9.9.9\n", "\x13" + string(make([]byte, 2000)), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f"} {
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

// endlessNegotiation never agrees on a protocol. It must be cut off, and a stated length must not cost memory.
func endlessNegotiation(t *testing.T, a *arena) {
	c := a.dial(t)
	_, _ = c.Write(append(lines(), protowire.AppendVarint(nil, 1<<60)...))
	hangsUp(t, "a protocol of 2^60 bytes", c, arenaTimeout-time.Second)
	c = a.dial(t)
	go func() {
		more := lines()
		for i := 0; ; i++ {
			if _, err := c.Write(more); err != nil {
				return
			}
			more = lines(fmt.Sprintf("/nonsense/%d", i))[len(lines()):]
		}
	}()
	hangsUp(t, "proposals without end", c, arenaTimeout-time.Second)
}

// silence stops at each step of the handshake. It must be cut off at the handshake's deadline, and delay no other peer.
func silence(t *testing.T, a *arena) {
	const each = 4
	var wg sync.WaitGroup
	silent := func(what string, c net.Conn) {
		wg.Go(func() { hangsUp(t, "silent after "+what, c, arenaTimeout+time.Second) })
	}
	for range each {
		for what, first := range map[string][]byte{
			"nothing": nil, "one byte": {0x13}, "multistream's header": lines(),
			"half a proposal": lines("/noise")[:24], "a refused proposal": lines("/nonsense"),
			"noise was proposed": lines("/noise"), "half a Noise message": append(lines("/noise"), 0, 32, 1, 2, 3),
			"the first Noise message": append(append(lines("/noise"), 0, 32), make([]byte, 32)...),
			"tls was proposed":        lines("/tls/1.0.0"),
			"half a ClientHello":      append(lines("/tls/1.0.0"), 0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc),
		} {
			c := a.dial(t)
			_, _ = c.Write(first)
			silent(what, c)
		}
		c, _ := a.secured(t)
		silent("noise", c) // identify is not answered
	}
	quiet := &lib.Config{MaxIdleTimeout: time.Minute}
	identity, _, err := crypto.GenerateKeyPair(crypto.Ed25519, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := gotls.NewIdentity(identity)
	if err != nil {
		t.Fatal(err)
	}
	for range each {
		conf, _ := id.ConfigForPeer(a.peerID)
		conf.NextProtos = []string{"libp2p"}
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		conn, err := lib.DialAddr(ctx, a.hostPort(t, "quic"), conf, quiet)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		a.keep(quicConn{conn})
		wg.Go(func() {
			select {
			case <-conn.Context().Done():
			case <-time.After(arenaTimeout + time.Second):
				t.Error("silent after QUIC's handshake: not cut off")
			}
		})
	}
	a.silentDatagrams(t)
	t.Logf("meanwhile honest peers are served within %v", a.serves(t, "beside silent peers").Round(time.Millisecond))
	wg.Wait()
}

// silentDatagrams begins QUIC handshakes and abandons them.
func (a *arena) silentDatagrams(t *testing.T) {
	t.Helper()
	for range 20 {
		pc, err := net.ListenUDP("udp4", &net.UDPAddr{IP: a.ip()})
		if err != nil {
			t.Fatal(err)
		}
		to, err := net.ResolveUDPAddr("udp4", a.hostPort(t, "quic"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, err = lib.Dial(ctx, &mute{PacketConn: pc, left: 1}, to,
			&tls.Config{InsecureSkipVerify: true, NextProtos: []string{"libp2p"}}, &lib.Config{})
		cancel()
		if err == nil {
			t.Error("a handshake of one datagram succeeded")
		}
		_ = pc.Close()
	}
}

// mute sends a few datagrams and loses the rest.
type mute struct {
	net.PacketConn
	mu   sync.Mutex
	left int
}

func (m *mute) WriteTo(p []byte, to net.Addr) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left--; m.left < 0 {
		return len(p), nil
	}
	return m.PacketConn.WriteTo(p, to)
}
