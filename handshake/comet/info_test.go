package comet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/cometpb"
	"github.com/switchyard-p2p/switchyard/internal/corpus"
	"github.com/switchyard-p2p/switchyard/transport"
)

// asProto is what the generated code makes of a node info.
func asProto(n *handshake.NodeInfo, listen string) *cometpb.NodeInfo {
	return &cometpb.NodeInfo{
		ProtocolVersion: &cometpb.ProtocolVersion{P2P: n.P2PVersion, Block: n.BlockVersion, App: n.AppVersion},
		NodeId:          string(n.ID), ListenAddr: listen, Network: n.Network,
		Version: n.Version, Channels: n.Channels, Moniker: n.Moniker,
		Other: &cometpb.NodeInfoOther{TxIndex: n.TxIndex, RpcAddress: n.RPCAddress},
	}
}

// A node info comes back as it was, and nothing more is read.
func TestInfoCodec(t *testing.T) {
	for _, n := range []handshake.NodeInfo{
		{},
		{Moniker: "m"},
		newNode(t, 1).info,
		{ID: "x", Moniker: strings.Repeat("m", 64), P2PVersion: 1 << 63, BlockVersion: 300, AppVersion: 1,
			TxIndex: "on", RPCAddress: "tcp://0.0.0.0:26657", Channels: []byte{0xff, 0}},
		{Moniker: strings.Repeat("long", 2500)},
	} {
		for _, listen := range []string{"1.2.3.4:5", "[2001:db8::1]:26656", "name.example:65535"} {
			got, err := encodeInfo(&n, listen)
			if err != nil {
				t.Fatal(err)
			}
			if want := delimited(t, asProto(&n, listen)); !bytes.Equal(got, want) {
				t.Errorf("%+v: encoded as\n%x, want\n%x", n, got, want)
			}
			r := bytes.NewReader(append(got, "more"...))
			back, err := readInfo(r)
			if err != nil || r.Len() != 4 {
				t.Fatalf("%d bytes left, %v", r.Len(), err)
			}
			want := asProto(&n, listen)
			if !proto.Equal(asProto(back, back.Listen[0]), want) {
				t.Errorf("%+v came back as %+v", n, back)
			}
		}
	}
}

func FuzzDecodeInfo(f *testing.F) {
	good, _ := proto.Marshal(&cometpb.NodeInfo{
		ProtocolVersion: &cometpb.ProtocolVersion{P2P: 8, Block: 11, App: 1}, NodeId: strings.Repeat("ab", 20),
		ListenAddr: "tcp://1.2.3.4:26656", Network: "n", Version: "0.38.0",
		Channels: []byte{0, 0x20, 0x40}, Moniker: "moniker",
		Other: &cometpb.NodeInfoOther{TxIndex: "on", RpcAddress: "tcp://0.0.0.0:26657"},
	})
	f.Add(good)
	f.Add(append(append([]byte(nil), good...), good...))
	f.Add(append(append([]byte(nil), good...), 0x82, 0x82, 0x0d, 8, 0x0a, 6, 0x6c, 0x69, 0x62, 0x70, 0x32, 0x70))
	f.Add(good[:len(good)/2])
	f.Add([]byte{})
	f.Add([]byte{0x1a, 3, 'a', ':', '1', 0x0b, 0x0c})    // a group among the fields
	f.Add([]byte{0x0a, 0x02, 0x08, 0x80})                // cut within a message
	f.Add([]byte{0x1a, 3, 'a', ':', '1', 0x7d, 1, 2, 3}) // an unknown field, cut
	for _, b := range corpus.HugeLengths(good) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n, err := decodeInfo(data)
		var m cometpb.NodeInfo
		if err != nil {
			var r *handshake.Refusal
			if !errors.As(err, &r) || len(err.Error()) > 500 {
				t.Fatalf("%T, %v", err, err)
			}
			return
		}
		if err := proto.Unmarshal(data, &m); err != nil {
			t.Fatalf("we accept what protobuf refuses: %v", err)
		}
		if n.Moniker != m.Moniker || n.Network != m.Network || string(n.ID) != m.NodeId || n.Version != m.Version ||
			!bytes.Equal(n.Channels, m.Channels) ||
			n.BlockVersion != m.ProtocolVersion.GetBlock() || n.P2PVersion != m.ProtocolVersion.GetP2P() ||
			n.AppVersion != m.ProtocolVersion.GetApp() ||
			n.TxIndex != m.Other.GetTxIndex() || n.RPCAddress != m.Other.GetRpcAddress() ||
			!strings.HasSuffix(m.ListenAddr, n.Listen[0]) {
			t.Fatalf("%+v\n%+v", n, &m)
		}
		_ = n.Validate()
		if wire, err := encodeInfo(n, n.Listen[0]); err == nil {
			if back, err := readInfo(bytes.NewReader(wire)); err != nil || back.Moniker != n.Moniker {
				t.Fatal(err)
			}
		}
	})
}

func FuzzReadInfo(f *testing.F) {
	f.Add([]byte{0})
	f.Add([]byte{0x80, 0x80, 0x01})
	f.Add(bytes.Repeat([]byte{0xff}, 12))
	f.Add([]byte{5, 0x1a, 3, 'a', ':', '1', 9})
	for _, b := range corpus.HugeLengths(append([]byte{byte(5)}, 0x1a, 3, 'a', ':', '1')) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		_, err := readInfo(r)
		var s *handshake.StageError
		var refusal *handshake.Refusal
		if err != nil && !errors.As(err, &s) && !errors.As(err, &refusal) {
			t.Fatalf("%T %v", err, err)
		}
	})
}

func TestCheckListen(t *testing.T) {
	for in, want := range map[string]string{
		"1.2.3.4:5": "1.2.3.4:5", "tcp://1.2.3.4:5": "1.2.3.4:5", "0.0.0.0:26656": "0.0.0.0:26656", "[::]:1": "[::]:1",
		"[fe80::1%eth0]:1": "[fe80::1%eth0]:1",
		"name_x.example:0": "name_x.example:0", "http://a:65535": "a:65535",
		"": "", ":1": "", "a": "", "a:": "", "a:65536": "", "a:-1": "", "a:http": "", "::1:5": "", "a b:1": "",
		"é:1": "", "a@b:1": "", "tcp://tcp://a:1": "",
		strings.Repeat("a", maxListen) + ":1": "", "a/b:1": "", "\x00:1": "",
	} {
		got, err := checkListen(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", in, got, err)
		}
		if err != nil && len(err.Error()) > 250 {
			t.Errorf("error of %d bytes", len(err.Error()))
		}
	}
}

// fakeResolver knows some names, and counts how often it is asked.
type fakeResolver struct {
	names map[string]string
	asked int
}

func (r *fakeResolver) LookupNetIP(ctx context.Context, _, host string) ([]netip.Addr, error) {
	r.asked++
	if host == "slow.example" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ip, ok := r.names[host]
	if !ok {
		return nil, errors.New("no such host")
	}
	return []netip.Addr{netip.MustParseAddr(ip)}, nil
}

func TestOwnListen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeResolver{names: map[string]string{"node.example": "9.8.7.6", "six.example": "2001:db8::7"}}
		for _, c := range []struct {
			local, want string
			listen      []string
		}{
			{"/ip4/10.0.0.1/tcp/1", nowhere, nil},
			{"/ip4/10.0.0.1/tcp/1", nowhere, []string{"/ip4/1.2.3.4/udp/5/quic-v1", "/memory/5", "junk"}},
			{"/ip4/10.0.0.1/tcp/1", "1.2.3.4:5", []string{"/ip4/1.2.3.4/tcp/5"}},
			{"/ip4/10.0.0.1/tcp/1", "1.2.3.4:5", []string{"1.2.3.4:5"}},
			{"/ip4/10.0.0.1/tcp/1", "10.0.0.1:5", []string{"/ip4/0.0.0.0/tcp/5"}},
			{"/ip4/10.0.0.1/tcp/1", "10.0.0.1:5", []string{"/ip6/::/tcp/5"}},
			{"/ip6/2001:db8::1/tcp/1", "[2001:db8::1]:5", []string{"/ip6/::/tcp/5"}},
			{"/ip6/2001:db8::1/tcp/1", "0.0.0.0:5", []string{"/ip4/0.0.0.0/tcp/5"}}, // we do not listen there
			{"/memory/1", "0.0.0.0:5", []string{"/ip4/0.0.0.0/tcp/5"}},
			{"/ip4/10.0.0.1/tcp/1", "9.8.7.6:5", []string{"/dns/node.example/tcp/5"}},
			{"/ip4/10.0.0.1/tcp/1", "[2001:db8::7]:5", []string{"/dns/six.example/tcp/5"}},
			{"/ip4/10.0.0.1/tcp/1", "1.2.3.4:5", []string{"/dns/gone.example/tcp/5", "/ip4/1.2.3.4/tcp/5"}},
			{"/ip4/10.0.0.1/tcp/1", "1.2.3.4:5", []string{"/dns/slow.example/tcp/5", "/ip4/1.2.3.4/tcp/5"}},
		} {
			n := newNode(t, 1)
			n.wire.names.resolver = r
			conn, _ := handshaketest.Pipe(c.local, "/ip4/10.0.0.9/tcp/9")
			a := &handshake.Attempt{Conn: conn, Local: handshake.NodeInfo{Listen: c.listen}}
			if got, _ := n.wire.ownListen(context.Background(), a); got != c.want {
				t.Errorf("%q over %s: %s, want %s", c.listen, c.local, got, c.want)
			}
		}
	})
}

func TestNamesAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fakeResolver{names: map[string]string{"node.example": "9.8.7.6"}}
		n := &names{resolver: r}
		ask := func(host string, asked int, ok bool) {
			t.Helper()
			ip, err := n.resolve(context.Background(), host)
			if r.asked != asked || (err == nil) != ok || ok != ip.IsValid() {
				t.Errorf("%s: asked %d times: %v, %v", host, r.asked, ip, err)
			}
		}
		ask("node.example", 1, true)
		ask("node.example", 1, true)
		ask("gone.example", 2, false)
		ask("gone.example", 2, false)
		time.Sleep(nameRetry)
		ask("gone.example", 3, false)
		delete(r.names, "node.example")
		time.Sleep(nameLife)
		ask("node.example", 4, true) // the last answer
		for range maxNames {
			_, _ = n.resolve(context.Background(), strings.Repeat("x", r.asked))
		}
		if len(n.known) > maxNames {
			t.Errorf("%d names are kept", len(n.known))
		}
	})
}

func TestCanDialAndRecognizes(t *testing.T) {
	w := newNode(t, 1).wire
	for text, want := range map[string]bool{
		"1.2.3.4:5": true, strings.Repeat("ab", 20) + "@1.2.3.4:5": true, "/ip4/1.2.3.4/tcp/5": true,
		"/ip4/1.2.3.4/tcp/5/p2p/" + newNode(t, 2).key.Public().PeerID(): false,
	} {
		addr, err := transport.ParseAddress(text)
		if err != nil || w.CanDial(addr) != want {
			t.Errorf("%s: %v, %v", text, !want, err)
		}
	}
	if !w.Recognizes([]byte{0x22, 0x0a}) || w.Recognizes([]byte{0x13}) || w.Recognizes(nil) {
		t.Error("first byte")
	}
}

// A remote that hangs up instead of sending its node info refuses us, also when its system says so by a reset, because
// our info is unread there.
func TestHangUpInsteadOfInfo(t *testing.T) {
	for _, cause := range []error{io.EOF,
		&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}} {
		_, err := readInfo(iotest.ErrReader(cause))
		if !errors.Is(err, cause) || !strings.Contains(err.Error(), "refused us without a reason") {
			t.Errorf("%v: %v", cause, err)
		}
	}
}
