package libp2p

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"testing"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

var fuzzChannels = []muxer.Channel{{ID: 1, Name: "/one"}, {ID: 2}}

// FuzzHello reads a remote's hello: what is taken is a valid node info whose channels in common are ours, and every
// part of it is bounded.
func FuzzHello(f *testing.F) {
	seed := func(m *switchyardpb.Hello) { f.Add(frame(nil, m)) }
	seed(&switchyardpb.Hello{})
	seed(&switchyardpb.Hello{Network: "net", Moniker: "m", Version: "v", Height: 1 << 62,
		Protocols: []string{"/echo/1.0.0"}, Wires: []string{"comet", "libp2p"},
		Channels: []*switchyardpb.HelloChannel{{Id: 1, Name: "/one"}, {Id: 2, Name: "/other"}, {Id: 9, Name: "/nine"}},
		Listen:   [][]byte{{4, 1, 2, 3, 4, 6, 16, 16}}})
	seed(&switchyardpb.Hello{Channels: []*switchyardpb.HelloChannel{{Id: 256, Name: "/x"}}})
	seed(&switchyardpb.Hello{Network: "\x1b[31m", Listen: [][]byte{{0xff}, nil}})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f})
	a := &handshake.Attempt{RemoteKey: keyA.Public(), RemoteID: keyA.ID(), Channels: fuzzChannels}
	for _, b := range corpus.HugeLengths(frame(nil,
		&switchyardpb.Hello{Network: "net", Listen: [][]byte{{0x35, 1, 97}}})) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var m switchyardpb.Hello
		if err := readFrame(bytes.NewReader(b), &m, maxHello); err != nil {
			return
		}
		info := new(handshake.NodeInfo)
		both, err := helloInfo(&m, a, info)
		if err != nil {
			if both != nil {
				t.Fatalf("%v beside %v", both, err)
			}
			return
		}
		if info.ID != keyA.ID() || info.Guest || len(info.Channels) > handshake.MaxChannels ||
			len(info.Protocols) > maxProtocols || len(info.Listen) > maxListenAddrs || len(info.Wires) > maxWires {
			t.Fatalf("%+v", info)
		}
		for _, c := range both {
			if !bytes.Contains(info.Channels, []byte{c.ID}) || c.ID != 1 && c.ID != 2 {
				t.Fatalf("channel %+v in common, of %v", c, info.Channels)
			}
		}
		_ = info.Validate() // whether it is valid, the upgrader asks
	})
}

// FuzzVerdict reads a remote's verdict: a refusal is short plain text with a code, and nothing behind the frame is
// read.
func FuzzVerdict(f *testing.F) {
	f.Add(frame(nil, &switchyardpb.HelloVerdict{Accepted: true}))
	f.Add(frame(nil, ownVerdict(&handshake.Refusal{Code: muxer.CodeTooManyPeers, Limit: "peers.max_inbound",
		Reason: "all slots are taken"})))
	f.Add(frame(nil, &switchyardpb.HelloVerdict{Code: 1 << 20, Reason: "\x00\x1b]0;owned\x07"}))
	f.Add(append(frame(nil, &switchyardpb.HelloVerdict{Accepted: true}), "more"...))
	for _, b := range corpus.HugeLengths(frame(nil, &switchyardpb.HelloVerdict{Limit: "l", Reason: "r"})) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bufio.NewReader(bytes.NewReader(b))
		var m switchyardpb.HelloVerdict
		if err := readFrame(in, &m, maxVerdict); err != nil {
			return
		}
		rest, _ := io.ReadAll(in)
		if !bytes.HasSuffix(b, rest) || len(b)-len(rest) > maxVerdict+binary.MaxVarintLen64 {
			t.Fatalf("%d of %d bytes are left", len(rest), len(b))
		}
		r := refusalOf(&m)
		if (r == nil) != m.Accepted {
			t.Fatalf("%v of %v", r, &m)
		}
		if r == nil {
			return
		}
		for _, text := range []string{r.Reason, r.Limit} {
			if plainText(text, maxReason) != text {
				t.Fatalf("%q", text)
			}
		}
		// What we would say of it is what was said.
		var again switchyardpb.HelloVerdict
		if err := readFrame(bytes.NewReader(frame(nil, ownVerdict(r))), &again, maxVerdict); err != nil {
			t.Fatal(err)
		}
		if back := refusalOf(&again); back.Code != r.Code || back.Reason != r.Reason || back.Limit != r.Limit {
			t.Fatalf("%+v became %+v", r, back)
		}
	})
}
