package interop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/pex"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
)

// arena is our running program and its attackers.
type arena struct {
	*nodeDir
	t        *testing.T
	real     *cometpeer.Node // an honest peer, which comes and goes
	answered chan []byte

	mu    sync.Mutex
	lastI int
	conns []net.Conn
}

func newArena(t *testing.T) *arena {
	a := &arena{nodeDir: newNodeDir(t, network, "attacked", "services.echo.enabled=true", "admin.pprof=true"), t: t,
		answered: make(chan []byte, 1)}
	a.Start(t)
	a.real = cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "honest", NoPEX: true})
	a.real.Echo.Swap(func(e p2p.Envelope) {
		select {
		case a.answered <- e.Message.(*cometpeer.Raw).Bytes:
		default:
		}
	})
	return a
}

// dial connects from a fresh IP, so that one attack does not spend the budgets of the next.
func (a *arena) dial(t *testing.T) net.Conn {
	t.Helper()
	a.mu.Lock()
	a.lastI++
	ip := net.IPv4(127, 0, byte(1+a.lastI/250), byte(2+a.lastI%250))
	a.mu.Unlock()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}, Timeout: 5 * time.Second}
	conn, err := d.Dial("tcp", a.TCP(t))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	a.mu.Lock()
	defer a.mu.Unlock()
	a.conns = append(a.conns, conn)
	return conn
}

// hangUp closes all connections of attackers.
func (a *arena) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.conns {
		_ = c.Close()
	}
	a.conns = nil
}

// secured returns a connection that has proven a fresh key.
func (a *arena) secured(t *testing.T) *secretconn.Conn {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := secretconn.Handshake(t.Context(), a.dial(t), key, secretconn.Options{})
	if err != nil {
		t.Fatalf("secure an attacker's connection: %v", err)
	}
	return c
}

// link returns a connection after the whole handshake, as a node of our network with the echo and PEX channels.
func (a *arena) link(t *testing.T) *secretconn.Conn {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := secretconn.Handshake(t.Context(), a.dial(t), key,
		secretconn.Options{EarlyData: infoOf(t, string(key.ID()))})
	if err != nil {
		t.Fatalf("secure an attacker's connection: %v", err)
	}
	theirs, err := readDelimited(c)
	if err != nil || !bytes.Contains(theirs, []byte("attacked")) {
		t.Fatalf("the node info is %q: %v", theirs, err)
	}
	return c
}

// infoOf encodes a node info with its length, as it travels.
func infoOf(t *testing.T, id string) []byte {
	t.Helper()
	info := p2p.DefaultNodeInfo{ProtocolVersion: p2p.NewProtocolVersion(8, 11, 0), DefaultNodeID: p2p.ID(id),
		ListenAddr: "127.0.0.1:1", Network: network, Version: "1", Moniker: "attacker",
		Channels: []byte{pex.PexChannel, cometpeer.EchoChannel}, Other: p2p.DefaultNodeInfoOther{TxIndex: "off"}}
	b, err := info.ToProto().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return delimited(b)
}

func delimited(b []byte) []byte { return append(protowire.AppendVarint(nil, uint64(len(b))), b...) }

func readDelimited(r io.Reader) ([]byte, error) {
	var prefix []byte
	for {
		one := make([]byte, 1)
		if _, err := io.ReadFull(r, one); err != nil {
			return nil, err
		}
		prefix = append(prefix, one[0])
		if n, size := protowire.ConsumeVarint(prefix); size > 0 {
			body := make([]byte, n)
			_, err := io.ReadFull(r, body)
			return body, err
		}
		if len(prefix) > 10 {
			return nil, errors.New("no length")
		}
	}
}

// packetOf encodes an MConnection packet of a message.
func packetOf(channel int64, last bool, data []byte) []byte {
	var m []byte
	m = protowire.AppendTag(m, 1, protowire.VarintType)
	m = protowire.AppendVarint(m, uint64(channel))
	if last {
		m = protowire.AppendTag(m, 2, protowire.VarintType)
		m = protowire.AppendVarint(m, 1)
	}
	m = protowire.AppendTag(m, 3, protowire.BytesType)
	m = protowire.AppendBytes(m, data)
	p := protowire.AppendTag(nil, 3, protowire.BytesType)
	return delimited(protowire.AppendBytes(p, m))
}

// pingOf encodes a ping packet.
func pingOf() []byte { return []byte{2, 1<<3 | 2, 0} }

// pexRequest and pexAnswer encode PEX messages, the answer with n addresses.
func pexRequest() []byte { return []byte{1<<3 | 2, 0} }

func pexAnswer(n int) []byte {
	var addresses []byte
	for i := range n {
		var a []byte
		a = protowire.AppendTag(a, 1, protowire.BytesType)
		a = protowire.AppendString(a, fmt.Sprintf("%040x", i+1))
		a = protowire.AppendTag(a, 2, protowire.BytesType)
		a = protowire.AppendString(a, fmt.Sprintf("127.9.%d.%d", i/250%250, i%250))
		a = protowire.AppendTag(a, 3, protowire.VarintType)
		a = protowire.AppendVarint(a, 1)
		addresses = protowire.AppendTag(addresses, 1, protowire.BytesType)
		addresses = protowire.AppendBytes(addresses, a)
	}
	m := protowire.AppendTag(nil, 2, protowire.BytesType)
	return protowire.AppendBytes(m, addresses)
}

// say writes, flushes, and reports false once the node has hung up.
func say(c *secretconn.Conn, packets ...[]byte) bool {
	for _, p := range packets {
		if _, err := c.Write(p); err != nil {
			return false
		}
	}
	return c.Flush() == nil
}

// hangsUp waits until the node ends the connection, and fails the test after the bound.
func hangsUp(t *testing.T, what string, c net.Conn, bound time.Duration) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(bound))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: not cut off within %v", what, bound)
	}
}

// secretHangsUp is hangsUp for a secured connection.
func secretHangsUp(t *testing.T, what string, c *secretconn.Conn, bound time.Duration) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(bound))
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: not cut off within %v", what, bound)
	}
}

// serves returns how long an honest CometBFT switch takes to connect and to get a message echoed.
func (a *arena) serves(t *testing.T, when string) time.Duration {
	t.Helper()
	began := time.Now()
	peer := dialFrom(t, a.real, a.Address(t))
	if peer == nil {
		t.Fatalf("%s: the honest peer was refused", when)
	}
	want := []byte(when)
	if !peer.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel, Message: &cometpeer.Raw{Bytes: want}}) {
		t.Fatalf("%s: the honest peer could not send", when)
	}
	select {
	case got := <-a.answered:
		if !bytes.Equal(got, want) {
			t.Fatalf("%s: the honest peer's echo is %q", when, got)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: the honest peer's message was not echoed", when)
	}
	took := time.Since(began)
	a.real.Switch.StopPeerGracefully(peer)
	waitFor(t, 10*time.Second, when+": the node sees that the honest peer has gone", func() bool {
		peers, err := a.client.Peers(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range peers {
			if string(p.NodeID) == a.real.ID() {
				return false
			}
		}
		return true
	})
	return took
}
