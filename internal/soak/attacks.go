package main

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/internal/pexpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// attack is something that at attackers do again and again, with a pause between rounds.
type attack struct {
	name  string
	at    int
	pause time.Duration
	round func(context.Context, *attacker) error
}

var attacks = []attack{
	{"tiny-yamux", 2, 5 * time.Second, tinyYamux},
	{"tiny-quic", 2, 5 * time.Second, tinyQUIC},
	{"half-packets", 2, 5 * time.Second, halfPackets},
	{"churn", 4, time.Second, churn},
	{"liars", 3, 5 * time.Second, lie},
	{"na", 1, time.Second, naServer},
	{"garbage", 4, 500 * time.Millisecond, garbage},
	{"other-network", 2, 2 * time.Second, otherNetwork},
	{"deaf", 2, 5 * time.Second, deaf},
	{"datagrams", 1, time.Second, datagrams},
	{"stalls", 1, 2 * time.Minute, stall},
}

// chosen returns the attacks that only names.
func chosen(only string) ([]attack, error) {
	if only == "" {
		return attacks, nil
	}
	var list []attack
	for name := range strings.SplitSeq(only, ",") {
		i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-only %s: there is no such attack; there are %s", name, names(attacks))
		}
		list = append(list, attacks[i])
	}
	return list, nil
}

func names(list []attack) string {
	var n []string
	for _, a := range list {
		n = append(n, a.name)
	}
	return strings.Join(n, ",")
}

// held is how long an attacker keeps what a node holds for it.
const held = 10 * time.Second

// tinyYamux sends a stream in frames of one byte to a handler that waits for us: the answers to pings are not read.
func tinyYamux(ctx context.Context, a *attacker) error {
	id, l, err := a.link(ctx, a.victim(), overYamux, networkName)
	if err != nil {
		return err
	}
	return a.within(ctx, id, l, 40*time.Second, nil, func(ctx context.Context) error {
		const stream, frames, perWrite = 100_001, 400_000, 500
		frame := func(flags uint16, data string) []byte {
			b := binary.BigEndian.AppendUint16([]byte{0, 0}, flags)
			b = binary.BigEndian.AppendUint32(b, stream)
			return append(binary.BigEndian.AppendUint32(b, uint32(len(data))), data...)
		}
		if _, err := id.tap.conn.Write(frame(1, "\x13/multistream/1.0.0\n\x11/ipfs/ping/1.0.0\n")); err != nil {
			return err
		}
		batch := slices.Repeat(frame(0, "x"), perWrite)
		for sent := 0; sent < frames && ctx.Err() == nil; sent += perWrite {
			if _, err := id.tap.conn.Write(batch); err != nil {
				return nil // the node has ended it: that is what it should do
			}
		}
		wait(ctx, held)
		return nil
	})
}

// tinyQUIC does the same over QUIC, as far as packets of one frame do.
func tinyQUIC(ctx context.Context, a *attacker) error {
	id, l, err := a.link(ctx, a.victim(), overQUIC, networkName)
	if err != nil {
		return err
	}
	return a.within(ctx, id, l, 40*time.Second, nil, func(ctx context.Context) error {
		s, err := l.Session.OpenStream(ctx, "/ipfs/ping/1.0.0")
		if err != nil {
			return err
		}
		_ = s.SetDeadline(time.Now().Add(20 * time.Second))
		for range 100_000 {
			if _, err := s.Write([]byte("x")); err != nil {
				break
			}
		}
		wait(ctx, held)
		return s.Reset(muxer.CodeRequested)
	})
}

// cometLink is a connection of CometBFT's wire after the node infos, without a session.
func (a *attacker) cometLink(ctx context.Context, n *node) (*secretconn.Conn, error) {
	id, err := newIdentity()
	if err != nil {
		return nil, err
	}
	defer id.quic.Close()
	raw, err := a.dial(ctx, n)
	if err != nil {
		return nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(90 * time.Second))
	c, err := secretconn.Handshake(ctx, raw, id.key, secretconn.Options{EarlyData: cometInfo(string(id.key.ID()))})
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	if _, err := c.Read(make([]byte, 1)); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// cometInfo encodes a DefaultNodeInfo with its length in front.
func cometInfo(id string) []byte {
	str := func(b []byte, field protowire.Number, v string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), v)
	}
	var versions []byte
	for i, v := range []uint64{8, 11, 0} {
		versions = protowire.AppendTag(versions, protowire.Number(i+1), protowire.VarintType)
		versions = protowire.AppendVarint(versions, v)
	}
	b := str(nil, 1, string(versions))
	b = str(b, 2, id)
	b = str(b, 3, "127.66.1.1:1")
	b = str(b, 4, networkName)
	b = str(b, 5, "1")
	b = str(b, 6, string([]byte{pexChannel.ID, echoChannel.ID}))
	b = str(b, 7, "attacker")
	b = str(b, 8, string(str(nil, 1, "off")))
	return append(protowire.AppendVarint(nil, uint64(len(b))), b...)
}

// halfPackets sends messages of MConn in packets of one byte, and never their end.
func halfPackets(ctx context.Context, a *attacker) error {
	c, err := a.cometLink(ctx, a.victim())
	if err != nil {
		return err
	}
	defer c.Close()
	packet := func(channel byte) []byte {
		var msg []byte
		if channel != 0 {
			msg = protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(channel))
		}
		msg = protowire.AppendString(protowire.AppendTag(msg, 3, protowire.BytesType), "x")
		p := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), msg)
		return append(protowire.AppendVarint(nil, uint64(len(p))), p...)
	}
	batch := slices.Concat(slices.Repeat(packet(pexChannel.ID), 50), slices.Repeat(packet(echoChannel.ID), 50))
	for range 5000 {
		if _, err := c.Write(batch); err != nil {
			return nil // it has hung up, as it should
		}
		if err := c.Flush(); err != nil || ctx.Err() != nil {
			return nil
		}
	}
	wait(ctx, held)
	return nil
}

// churn comes with a new key, misbehaves in one of several ways, and goes.
func churn(ctx context.Context, a *attacker) error {
	id, l, err := a.link(ctx, a.victim(), a.IntN(kinds), networkName)
	if err != nil {
		return err
	}
	return a.within(ctx, id, l, 10*time.Second, nil, func(ctx context.Context) error {
		send := func(channel byte, msg []byte) {
			sendCtx, cancel := context.WithTimeout(ctx, 2*time.Second)
			defer cancel()
			_ = l.Session.Send(sendCtx, channel, msg)
		}
		switch a.IntN(5) {
		case 0:
			send(pexChannel.ID, pexpb.EncodeResponse(nil)) // nobody asked
		case 1:
			send(pexChannel.ID, []byte("\xff\xff\xff"))
		case 2:
			for range 20 {
				send(pexChannel.ID, pexpb.EncodeRequest())
			}
		case 3:
			big := make([]byte, 200_000)
			for range 10 {
				send(echoChannel.ID, big)
			}
		}
		wait(ctx, time.Duration(a.Int64N(int64(3*time.Second))))
		return nil
	})
}

// naIP has the servers that refuse every security.
const (
	naIP   = "127.66.66.66"
	naPort = 23000
)

// naServer answers every connection as a node without a security in common does, for a minute. No key is ever proven
// there.
func naServer(ctx context.Context, a *attacker) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", fmt.Sprintf("%s:%d", naIP, naPort))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, func() { l.Close() })()
	var serving sync.WaitGroup
	defer serving.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		serving.Go(func() { // ends with its deadline
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(5 * time.Second))
			_, _ = c.Write([]byte("\x13/multistream/1.0.0\n\x03na\n\x03na\n"))
			buf := make([]byte, 1024)
			for err := error(nil); err == nil; {
				_, err = c.Read(buf)
			}
		})
	}
}

// lie links, and answers each question for peers with honest nodes at false addresses.
func lie(ctx context.Context, a *attacker) error {
	id, l, err := a.link(ctx, a.victim(), a.IntN(kinds), networkName)
	if err != nil {
		return err
	}
	var list []*pexpb.PexAddress
	for i, n := range a.arena.nodes {
		list = append(list, &pexpb.PexAddress{Id: n.id, Ip: naIP, Port: naPort},
			&pexpb.PexAddress{Id: n.id, Ip: "127.66.66.67", Port: uint32(1000 + i)},
			&pexpb.PexAddress{Multiaddr: fmt.Sprintf("/ip4/%s/tcp/%d/p2p/%s", naIP, naPort, n.peerID)})
	}
	comet := slices.DeleteFunc(slices.Clone(list), func(p *pexpb.PexAddress) bool { return p.Multiaddr != "" })
	deliver := func(m muxer.Message) error {
		if m.Channel != pexChannel.ID {
			return nil
		}
		q, _, err := pexpb.Decode(m.Data, 10)
		if err != nil || q.GetRequest() == nil {
			return nil
		}
		answer := comet
		if q.GetRequest().GetMultiaddrs() {
			answer = list
		}
		l.Session.TrySend(pexChannel.ID, pexpb.EncodeResponse(answer))
		return nil
	}
	return a.within(ctx, id, l, time.Minute, deliver, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
}

// garbage connects and sends what is no handshake, or the beginning of one, and then keeps silent.
func garbage(ctx context.Context, a *attacker) error {
	c, err := a.dial(ctx, a.victim())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	noise := make([]byte, 1+a.IntN(4096))
	_, _ = crand.Read(noise)
	text := [][]byte{noise, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("SSH-2.0-OpenSSH_9.6\r\n"),
		{0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, []byte("\x13/multistream/1.0.0\n"), {0x22, 0x0a, 0x20},
		[]byte("\x13/multistream/1.0.0\n\x07/noise\n\xff\xff"), nil}[a.IntN(8)]
	_, _ = c.Write(text)
	wait(ctx, time.Duration(a.Int64N(int64(8*time.Second))))
	return nil
}

// otherNetwork is an honest node of another network.
func otherNetwork(ctx context.Context, a *attacker) error {
	id, l, err := a.link(ctx, a.victim(), a.IntN(kinds), "other")
	if err != nil {
		return nil // refused, as it should be
	}
	_ = l.Session.Close(muxer.CodeRequested, "")
	a.drain(l)
	_ = id.quic.Close()
	return nil
}

// deaf links, asks for much, and reads nothing.
func deaf(ctx context.Context, a *attacker) error {
	c, err := a.cometLink(ctx, a.victim())
	if err != nil {
		return err
	}
	defer c.Close()
	msg := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(echoChannel.ID))
	msg = protowire.AppendVarint(protowire.AppendTag(msg, 2, protowire.VarintType), 1)
	msg = protowire.AppendBytes(protowire.AppendTag(msg, 3, protowire.BytesType), make([]byte, 1000))
	p := protowire.AppendBytes(protowire.AppendTag(nil, 3, protowire.BytesType), msg)
	p = append(protowire.AppendVarint(nil, uint64(len(p))), p...)
	for range 4000 {
		if _, err := c.Write(p); err != nil {
			return nil
		}
		if err := c.Flush(); err != nil || ctx.Err() != nil {
			return nil
		}
	}
	wait(ctx, time.Minute)
	return nil
}

// datagrams sends what is no QUIC, and first packets of connections that never go on.
func datagrams(ctx context.Context, a *attacker) error {
	n := a.victim()
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: a.source()}, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: n.port})
	if err != nil {
		return err
	}
	defer c.Close()
	for range 200 {
		p := make([]byte, 1200)
		_, _ = crand.Read(p)
		if a.IntN(2) == 0 { // a long header of version 1
			copy(p, []byte{0xc3, 0, 0, 0, 1, 8})
			p[14] = 8
		} else {
			p = p[:1+a.IntN(1199)]
		}
		_, _ = c.Write(p)
		wait(ctx, 5*time.Millisecond)
	}
	return nil
}

// stall stops an honest node for a while: a suspended laptop, a starved container.
func stall(ctx context.Context, a *attacker) error {
	n := a.victim()
	n.pause(true)
	defer n.pause(false)
	wait(ctx, 20*time.Second+time.Duration(a.Int64N(int64(20*time.Second))))
	return nil
}
