package libp2p

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/muxer"
)

var keyA, keyB = handshake.NewIdentity([handshake.SeedSize]byte{1}), handshake.NewIdentity([handshake.SeedSize]byte{2})

func TestOwnMessage(t *testing.T) {
	conn, _ := handshaketest.Pipe("/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/2")
	a := &handshake.Attempt{Conn: conn, Channels: []muxer.Channel{{ID: 1, Name: "/one", Guests: true},
		{ID: 2, Name: "/ours"}, {ID: 0x7e, Guests: true}}}
	a.Local.Version, a.Local.Protocols, a.Local.Listen = "us/1", []string{"/echo/1.0.0", "/one"},
		[]string{"/ip4/1.2.3.4/tcp/5", "nonsense"}
	var m message
	if _, err := readMessages(bytes.NewReader(newSelf(keyA.Public(), a).message()), &m); err != nil {
		t.Fatal(err)
	}
	info, err := m.nodeInfo(keyA.Public())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{protocolIdentify, protocolPush, protocolPing, protocolHello, "/one",
		"/p2p/cometbft/1.0.0/channel/0x01", "/channel/0x7e/1.0.0", "/p2p/cometbft/1.0.0/channel/0x7e",
		"/echo/1.0.0"}; !slices.Equal(info.Protocols, want) {
		t.Errorf("protocols %q, want %q", info.Protocols, want)
	}
	if info.Version != "us/1" || !slices.Equal(info.Listen, []string{"/ip4/1.2.3.4/tcp/5"}) || info.ID != keyA.ID() ||
		!info.Guest {
		t.Errorf("%+v", info)
	}
	if !bytes.Equal(m.observed, conn.RemoteMultiaddr().Bytes()) {
		t.Errorf("observed %x", m.observed)
	}
	if _, err := m.nodeInfo(keyB.Public()); err == nil {
		t.Error("a foreign public key was taken")
	}
	// However much there is to say, it stays within what everybody takes.
	for i := range 500 {
		a.Local.Protocols = append(a.Local.Protocols, fmt.Sprintf("/protocol/%d", i))
		a.Local.Listen = append(a.Local.Listen, fmt.Sprintf("/dns/%s.example.org/tcp/%d", strings.Repeat("x", 60), i+1))
	}
	if n := len(newSelf(keyA.Public(), a).message()); n > maxOwnMessage+2 || n < maxOwnMessage/2 {
		t.Errorf("a message of %d bytes", n)
	}
}

func delimited(messages ...[]byte) (b []byte) {
	for _, m := range messages {
		b = append(binary.AppendUvarint(b, uint64(len(m))), m...)
	}
	return b
}

func field(number protowire.Number, v string) []byte {
	return protowire.AppendString(protowire.AppendTag(nil, number, protowire.BytesType), v)
}

func TestReadMessages(t *testing.T) {
	var m message
	n, err := readMessages(bytes.NewReader(delimited(field(fieldAgent, "a"), field(fieldProtocol, "/x"),
		field(fieldProtocol, "/y"))), &m)
	if err != nil || n != 3 || m.agent != "a" || !slices.Equal(m.protocols, []string{"/x", "/y"}) {
		t.Errorf("%d messages, %v: %+v", n, err, m)
	}
	many := bytes.Repeat(delimited(field(fieldAgent, "a")), maxMessages+1)
	for name, b := range map[string][]byte{
		"too many messages": many,
		"too long":          delimited(make([]byte, maxMessage+1)),
		"a huge length":     binary.AppendUvarint(nil, 1<<62),
		"cut":               delimited(field(fieldAgent, "abc"))[:4],
		"not a message":     delimited([]byte{0xff, 0xff}),
	} {
		if _, err := readMessages(bytes.NewReader(b), new(message)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// What is kept of a message is bounded, whatever it holds.
func TestMessageIsBounded(t *testing.T) {
	var b []byte
	for i := range 5000 {
		b = append(b, field(fieldProtocol, fmt.Sprint("/p/", i))...)
		b = append(b, field(fieldListenAddr, "\x04\x01\x02\x03\x04\x06\x10\x10")...)
	}
	b = append(b, field(fieldProtocol, strings.Repeat("x", 100_000))...)
	b = append(b, field(fieldAgent, strings.Repeat("x", 100_000))...)
	var m message
	if err := m.merge(b); err != nil {
		t.Fatal(err)
	}
	if len(m.protocols) != maxProtocols || len(m.listenAddrs) != maxListenAddrs || len(m.agent) != maxAgent {
		t.Errorf("%d protocols, %d addresses, an agent of %d bytes", len(m.protocols), len(m.listenAddrs), len(m.agent))
	}
}

func FuzzReadMessages(f *testing.F) {
	f.Add(delimited(field(fieldAgent, "a"), field(fieldProtocol, "/x")))
	f.Add(delimited(field(fieldListenAddr, "\x04\x01\x02\x03\x04\x06\x10\x10"),
		field(fieldPublicKey, string(keyA.Public().AppendProto(nil)))))
	for _, b := range corpus.HugeLengths(delimited(field(fieldListenAddr, "\x35\x03abc\x06\x10\x10"),
		field(fieldAgent, "a"))) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m message
		if _, err := readMessages(bytes.NewReader(b), &m); err != nil {
			return
		}
		info, err := m.nodeInfo(keyA.Public())
		if err != nil {
			return
		}
		if err := info.Validate(); err != nil {
			t.Errorf("%v of %+v", err, info)
		}
	})
}
