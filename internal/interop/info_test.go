package interop

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/protoio"
	"github.com/cometbft/cometbft/p2p"
	cometconn "github.com/cometbft/cometbft/p2p/conn"
	tmp2p "github.com/cometbft/cometbft/proto/tendermint/p2p"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/interop/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// second is a wire that nobody dials here: with it a node has something to say that CometBFT does not know.
type second struct{ handshake.Wire }

func (second) Name() string                        { return transport.WireLibp2p }
func (second) Recognizes([]byte) bool              { return false }
func (second) CanDial(addr transport.Address) bool { return false }

// TestNodeInfo: CometBFT shows all of a program's node info, and takes the extension that it does not know, from a
// dialer and from a listener.
func TestNodeInfo(t *testing.T) {
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "comet"})
	ours := node.Start(t, node.Config{Network: network, Moniker: "ours", Channels: []muxer.Channel{echoChannel},
		PEX: &pex.Config{}, Tune: func(hc *host.Config) {
			hc.Wires = append(hc.Wires, second{hc.Wires[0]})
			hc.External = []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/12345"),
				ma.StringCast("/ip4/127.0.0.1/udp/12345/quic-v1")}
			hc.Info = func(i *handshake.NodeInfo) {
				i.AppVersion, i.TxIndex, i.RPCAddress, i.Version = 77, "on", "tcp://127.0.0.1:26657", "0.40.0"
			}
		}})
	addr, err := transport.ParseAddress(c.Address())
	if err != nil {
		t.Fatal(err)
	}
	at, err := p2p.NewNetAddressString(ours.Address().CometString())
	if err != nil {
		t.Fatal(err)
	}
	for _, dial := range []func() error{
		func() error { _, err := ours.Host.Dial(t.Context(), addr); return err },
		func() error { return c.Switch.DialPeerWithAddress(at) },
	} {
		if err := dial(); err != nil {
			t.Fatal(err)
		}
		var peer p2p.Peer
		waitFor(t, 10*time.Second, "the switch lists us", func() bool {
			peer = c.Switch.Peers().Get(cometID(ours))
			return peer != nil
		})
		info := peer.NodeInfo().(p2p.DefaultNodeInfo)
		if info.ProtocolVersion != p2p.NewProtocolVersion(8, 11, 77) || info.Other.TxIndex != "on" ||
			info.Other.RPCAddress != "tcp://127.0.0.1:26657" || info.Version != "0.40.0" ||
			info.ListenAddr != "127.0.0.1:12345" || info.Moniker != "ours" || info.Network != network {
			t.Errorf("CometBFT shows %+v", info)
		}
		var theirs host.PeerInfo
		waitFor(t, 10*time.Second, "we list the switch", func() (ok bool) {
			theirs, ok = ours.Host.Peer(transport.NodeID(c.ID()))
			return ok
		})
		r := theirs.Remote
		if r.TxIndex != "off" || r.P2PVersion != 8 || r.BlockVersion != 11 || r.Version != c.Info.Version ||
			!bytes.Equal(r.Channels, c.Info.Channels) || r.Wires != nil || r.Also != nil ||
			!slices.Equal(r.Listen, []string{c.Info.ListenAddr}) {
			t.Errorf("we show %+v", r)
		}
		ours.Host.Disconnect(theirs.ID, muxer.CodeRequested, "a test")
		waitFor(t, 10*time.Second, "CometBFT sees that we have gone", func() bool {
			return c.Switch.Peers().Size() == 0
		})
	}
}

// TestExtensionReachesTheWire reads our node info with CometBFT's own type: the extension is there, and skipped.
func TestExtensionReachesTheWire(t *testing.T) {
	ours := node.Start(t, node.Config{Network: network, Moniker: "ours", Channels: []muxer.Channel{echoChannel},
		Tune: func(hc *host.Config) { hc.Wires = append(hc.Wires, second{hc.Wires[0]}) }})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ours.Address().Host(), strconv.Itoa(ours.Address().Port())))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	sc, err := cometconn.MakeSecretConnection(raw, ed25519.GenPrivKey())
	if err != nil {
		t.Fatal(err)
	}
	var read bytes.Buffer
	var pb tmp2p.DefaultNodeInfo
	in := protoio.NewDelimitedReader(tee{sc, &read}, p2p.MaxNodeInfoSize())
	if _, err := in.ReadMsg(&pb); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(read.Bytes(), []byte("\x0a\x06libp2p")) {
		t.Errorf("no extension in %x", read.Bytes())
	}
	info, err := p2p.DefaultNodeInfoFromToProto(&pb)
	if err != nil || info.Validate() != nil || info.ID() != cometID(ours) {
		t.Errorf("%v, %v, %+v", err, info.Validate(), info)
	}
}

// tee is a reader that keeps what it has read.
type tee struct {
	from *cometconn.SecretConnection
	to   *bytes.Buffer
}

func (r tee) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.to.Write(b[:n])
	return n, err
}
