package comet

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/cometpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

const extensionField = 26656 // never changes

// Two Switchyard nodes tell each other over comet which wires they speak, and all their addresses.
func TestExtension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := newNode(t, 1), newNode(t, 2)
		l.info.Wires = []string{"comet", "libp2p"}
		l.info.Listen = []string{"/ip4/10.0.0.2/udp/26656/quic-v1", "/ip4/5.6.7.8/tcp/1234", "/ip6/2001:db8::1/tcp/5"}
		l.info.Moves, d.info.Moves = true, true
		d.info.Wires = []string{"comet"}
		dr, lr := upgrade(t, d, l, l.address(t))
		if dr.err != nil || lr.err != nil {
			t.Fatal(dr.err, lr.err)
		}
		remote := dr.link.Remote
		want := []string{"/ip4/10.0.0.2/udp/26656/quic-v1", "/ip6/2001:db8::1/tcp/5"}
		if !slices.Equal(remote.Wires, l.info.Wires) || !slices.Equal(remote.Also, want) ||
			!slices.Equal(remote.Listen, []string{"5.6.7.8:1234"}) || !remote.Moves {
			t.Errorf("the listener is %+v", remote)
		}
		if remote := lr.link.Remote; remote.Wires != nil || remote.Also != nil || remote.Moves {
			t.Errorf("a dialer that has nothing to add says %q, %q", remote.Wires, remote.Also)
		}
		if b := dr.link.Binding; b != lr.link.Binding || b == [handshake.BindingSize]byte{} {
			t.Errorf("the connection is %x here and %x there", b, lr.link.Binding)
		}
		for _, r := range []result{dr, lr} {
			_ = r.link.Session.Close(muxer.CodeRequested, "")
		}
	})
}

// A node info with the extension is what CometBFT reads, and one field behind it.
func TestExtensionIsOneField(t *testing.T) {
	n := newNode(t, 1).info
	plain, err := encodeInfo(&n, "1.2.3.4:5")
	if err != nil {
		t.Fatal(err)
	}
	for _, wires := range [][]string{nil, {"comet"}} {
		n.Wires = wires
		if b, err := encodeInfo(&n, "1.2.3.4:5"); err != nil || !bytes.Equal(b, plain) {
			t.Errorf("wires %q: %x, %v", wires, b, err)
		}
	}
	n.Wires, n.Also = []string{"comet", "libp2p"}, []string{"/ip4/1.2.3.4/udp/5/quic-v1"}
	b, err := encodeInfo(&n, "1.2.3.4:5")
	if err != nil {
		t.Fatal(err)
	}
	b, _ = protowire.ConsumeBytes(b) // without the length
	plain, _ = protowire.ConsumeBytes(plain)
	if !bytes.HasPrefix(b, plain) {
		t.Fatalf("%x does not begin with %x", b, plain)
	}
	num, typ, size := protowire.ConsumeField(b[len(plain):])
	if num != extensionField || typ != protowire.BytesType || size != len(b)-len(plain) {
		t.Errorf("behind it: field %d of type %d, %d of %d bytes", num, typ, size, len(b)-len(plain))
	}
}

func TestExtensionHasBounds(t *testing.T) {
	n := newNode(t, 1).info
	n.Wires = []string{"comet", "libp2p"}
	long := "/dns/" + strings.Repeat("a", 240) + "/tcp/1"
	for range 100 {
		n.Also = append(n.Also, long)
	}
	if b := extension(&n); len(b) == 0 || len(b) > maxExtension {
		t.Errorf("%d bytes", len(b))
	}
	n.Moniker = strings.Repeat("m", handshake.MaxNodeInfoSize-1500)
	b, err := encodeInfo(&n, "1.2.3.4:5")
	if err != nil {
		t.Fatal(err)
	}
	if back, err := readInfo(bytes.NewReader(b)); err != nil || back.Also != nil || back.Moniker != n.Moniker {
		t.Errorf("no room for the extension: %v", err)
	}
}

// What a remote puts there, or another program, never costs it the link.
func TestStrangeExtensions(t *testing.T) {
	quic := ma.StringCast("/ip4/1.2.3.4/udp/5/quic-v1")
	many := &cometpb.InfoExtension{}
	for range 100 {
		many.Wires, many.Also = append(many.Wires, "comet"), append(many.Also, quic.Bytes())
	}
	mixed := &cometpb.InfoExtension{Wires: []string{"", "a b", "\x1b[31m", strings.Repeat("w", 33), "libp2p"},
		Also: [][]byte{nil, {0xff}, bytes.Repeat([]byte{4}, 500), quic.Bytes()}}
	encode := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	newer := protowire.AppendVarint(protowire.AppendTag(encode(&cometpb.InfoExtension{Wires: []string{"libp2p"}}), 9,
		protowire.VarintType), 5)
	for _, c := range []struct {
		name        string
		ext         []byte
		wires, also int
	}{
		{"none", nil, 0, 0}, {"junk", []byte("another program's"), 0, 0}, {"not UTF-8", []byte{0x0a, 1, 0xff}, 0, 0},
		{"too long", make([]byte, maxExtension+1), 0, 0}, {"too many", encode(many), maxWires, maxAlso},
		{"bad parts", encode(mixed), 1, 1}, {"a newer node's", newer, 1, 0},
	} {
		p := protoInfo(t)
		p.Switchyard = c.ext
		n, err := decodeInfo(encode(p))
		if err != nil || len(n.Wires) != c.wires || len(n.Also) != c.also {
			t.Errorf("%s: %v, %+v", c.name, err, n)
		}
	}
	b := protowire.AppendVarint(protowire.AppendTag(encode(protoInfo(t)), extensionField, protowire.VarintType), 1)
	if _, err := decodeInfo(b); err != nil {
		t.Errorf("a number in its place: %v", err)
	}
}
