package hosts

import (
	"bytes"
	"context"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	identifypb "github.com/libp2p/go-libp2p/p2p/protocol/identify/pb"
	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protodelim"

	"github.com/switchyard-p2p/switchyard/handshake"
	wire "github.com/switchyard-p2p/switchyard/handshake/libp2p"
	ournoise "github.com/switchyard-p2p/switchyard/handshake/noise"
	ourtls "github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
)

// TestKeyKinds links hosts with every key type of libp2p over every stack, dialed from either end, and checks that ids
// are enforced.
func TestKeyKinds(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]struct{ kind, bits int }{
		"secp256k1": {crypto.Secp256k1, 0}, "ecdsa": {crypto.ECDSA, 0}, "rsa": {crypto.RSA, 2048},
	} {
		key, _, err := crypto.GenerateKeyPair(kind.kind, kind.bits)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) {
			eachStack(t, func(t *testing.T, s gopeer.Stack) {
				p := newPair(t, s, node.Config{}, libp2p.Identity(key))
				for _, p.weDial = range []bool{true, false} {
					if i := p.connect(t); i.PeerID != p.theirs.ID().String() || string(i.ID) != i.PeerID || !i.Guest {
						t.Errorf("the link is %+v", i)
					}
					p.echoes(t, 10_000)
					p.ours.Host.Disconnect(p.id(t), muxer.CodeRequested, "a test")
					p.apart(t)
				}
				other := newPair(t, s, node.Config{})
				wrong, err := transport.NewAddress(other.theirs.Addrs()[0], p.theirs.ID().String())
				if err != nil {
					t.Fatal(err)
				}
				_, err = p.ours.Host.Dial(p.ctx, wrong)
				wantStage(t, err, "security", muxer.CodeWrongID)
			})
		})
	}
}

// preferring returns a node whose libp2p wire offers only these securities, in this order.
func preferring(t *testing.T, securities ...handshake.Security) node.Config {
	return node.Config{Tune: func(c *host.Config) {
		mux, err := yamux.New(yamux.Config{})
		if err != nil {
			t.Fatal(err)
		}
		w, err := wire.New(wire.Config{Identity: c.Identity, Logger: c.Logger,
			Securities: securities, Muxers: []muxer.StreamMuxer{mux}})
		if err != nil {
			t.Fatal(err)
		}
		c.Wires[1] = w
	}}
}

// TestHostAsItComes links a go-libp2p host with all its defaults (it prefers TLS, and has a resource manager and many
// transports) over TCP and QUIC with nodes that offer one security or both. The dialer decides about the security.
func TestHostAsItComes(t *testing.T) {
	t.Parallel()
	noise, tls := handshake.Security(ournoise.New()), handshake.Security(ourtls.New(ourtls.Config{}))
	for _, c := range []struct {
		offers   []handshake.Security
		we, they string // what is taken over TCP when we dial, and when they do
	}{
		{[]handshake.Security{noise, tls}, "noise", "tls"}, {[]handshake.Security{tls, noise}, "tls", "tls"},
		{[]handshake.Security{noise}, "noise", "noise"}, {[]handshake.Security{tls}, "tls", "tls"},
	} {
		ours := node.Start(t, preferring(t, c.offers...))
		theirs, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"),
			libp2p.DisableMetrics())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = theirs.Close() })
		theirs.SetStreamHandler(node.Echo, gopeer.EchoStream)
		ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
		t.Cleanup(cancel)
		p := &pair{stack: gopeer.Stack{Transport: "tcp"}, ours: ours, theirs: theirs, ctx: ctx}
		for _, p.stack.Transport = range []string{"tcp", "quic"} {
			for _, p.weDial = range []bool{true, false} {
				want := c.they
				if p.weDial {
					want = c.we
				}
				if p.stack.Transport == "quic" {
					want = "tls"
				}
				at := theirs.Addrs()[slices.IndexFunc(theirs.Addrs(), func(a ma.Multiaddr) bool {
					_, err := a.ValueForProtocol(ma.P_QUIC_V1)
					return (err == nil) == (p.stack.Transport == "quic")
				})]
				addr, err := transport.NewAddress(at, theirs.ID().String())
				if err != nil {
					t.Fatal(err)
				}
				var info host.PeerInfo
				if p.weDial {
					if info, err = ours.Host.Dial(ctx, addr); err != nil {
						t.Fatal(err)
					}
				} else {
					theirs.Peerstore().ClearAddrs(ours.PeerID()) // it knows others from earlier tests
					info = p.connect(t)
				}
				if info.Transport != p.stack.Transport || info.Security != want || !info.Guest ||
					info.Inbound == p.weDial {
					t.Errorf("we offer %d securities: the link is %+v, want %s", len(c.offers), info, want)
				}
				p.echoes(t, 100_000)
				ours.Host.Disconnect(addr.ID(), muxer.CodeRequested, "a test")
				p.apart(t)
			}
		}
	}
}

// TestBusyHost links hosts that open streams of dozens of protocols as soon as they are connected, as IPFS nodes do,
// and run identify on further streams. Only the streams of protocols that we lack may be refused. Each end reports the
// other's address as it sees it; over QUIC we can be dialed there.
func TestBusyHost(t *testing.T) {
	t.Parallel()
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		for _, weDial := range []bool{true, false} {
			p := newPair(t, s, node.Config{})
			p.weDial = weDial
			foreign := []string{"/ipfs/kad/1.0.0", "/ipfs/bitswap/1.2.0", "/meshsub/1.1.0", "/libp2p/autonat/1.0.0",
				"/libp2p/circuit/relay/0.2.0/hop"}
			for _, f := range foreign {
				p.theirs.SetStreamHandler(asProtocol(f), gopeer.EchoStream)
			}
			for i := range 50 {
				p.theirs.SetStreamHandler(asProtocol("/busy/"+string(rune('A'+i))), gopeer.EchoStream)
			}
			var busy sync.WaitGroup
			taken := make(chan string, len(foreign))
			p.theirs.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
				for _, f := range foreign {
					busy.Go(func() {
						st, err := c.NewStream(p.ctx) // no identify is waited for
						if err != nil {
							taken <- err.Error()
							return
						}
						_ = st.SetDeadline(time.Now().Add(testTimeout))
						_, err = st.Write(append(lines(f), "question"...)) // eagerly
						if err != nil {
							return // refused already
						}
						answer := make([]byte, len(lines("na")))
						if _, err := io.ReadFull(st, answer); err == nil && !bytes.Equal(answer, lines("na")) {
							taken <- f
						}
						_ = st.Reset()
					})
				}
			}})
			linked := p.connect(t)
			// it may push the last ones
			node.Await(t, "we know the host's protocols", func() bool { return len(p.await(t).Protocols) >= 55 })
			busy.Wait()
			select {
			case f := <-taken:
				t.Errorf("a stream that we do not have: %s", f)
			default:
			}
			p.echoes(t, 100_000)
			if i := p.await(t); i.Connected != linked.Connected {
				t.Error("the link was made again")
			}
			conn := p.theirs.Network().ConnsToPeer(p.ours.PeerID())[0]
			if seen := observed(t, p); !seen.Equal(conn.LocalMultiaddr()) {
				t.Errorf("we tell them that they are at %v, want %v", seen, conn.LocalMultiaddr())
			}
			if weDial && s.Transport == "quic" { // from the socket that listens
				other := gopeer.Start(t, s)
				seen := peer.AddrInfo{ID: p.ours.PeerID(), Addrs: []ma.Multiaddr{conn.RemoteMultiaddr()}}
				if err := other.Connect(p.ctx, seen); err != nil {
					t.Errorf("dialed back where we were seen: %v", err)
				}
			}
		}
	})
}

// observed returns the address that we report to go-libp2p.
func observed(t *testing.T, p *pair) ma.Multiaddr {
	t.Helper()
	st, err := p.theirs.NewStream(p.ctx, p.ours.PeerID(), "/ipfs/id/1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer st.Reset()
	var m identifypb.Identify
	if err := (protodelim.UnmarshalOptions{}).UnmarshalFrom(&byteReader{st}, &m); err != nil {
		t.Fatal(err)
	}
	seen, err := ma.NewMultiaddrBytes(m.ObservedAddr)
	if err != nil {
		t.Fatal(err)
	}
	return seen
}

type byteReader struct{ io.Reader }

func (r *byteReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r.Reader, b[:])
	return b[0], err
}
