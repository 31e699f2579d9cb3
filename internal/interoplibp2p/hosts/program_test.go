package hosts

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/jspeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// TestProgramVisits runs the program's dial, ping and echo against go-libp2p hosts, over every stack.
func TestProgramVisits(t *testing.T) {
	t.Parallel()
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		theirs := gopeer.Start(t, s)
		address := theirs.Addrs()[0].String() + "/p2p/" + theirs.ID().String()
		for _, form := range []string{address, theirs.Addrs()[0].String()} {
			d := ask[programtest.Dialed](t, "dial", form, "--json")
			if !d.OK || d.PeerID != theirs.ID().String() || d.Wire != "libp2p" || d.Transport != s.Transport ||
				d.Security != s.Security || d.Muxer != s.Muxer {
				t.Errorf("dial %s: %+v", form, d)
			}
			if d.Info.Version != gopeer.Agent || !slices.Contains(d.Info.Protocols, node.Echo) ||
				!slices.Contains(d.Info.Listen, theirs.Addrs()[0].String()) || len(d.Info.Channels) != 0 {
				t.Errorf("dial %s: info %+v", form, d.Info)
			}
			if stages := d.StageNames(t); len(stages) < 2 || stages[0] != "transport" ||
				stages[len(stages)-1] != "info" {
				t.Errorf("dial %s: stages %v", form, stages)
			}
		}
		if r := ask[programtest.Trips](t, "ping", address, "--json", "--count", "10", "--interval", "0s"); !r.OK ||
			r.Count != 10 || !r.Ordered() {
			t.Errorf("ping: %+v", r)
		}
		for _, size := range []int{0, 1, 65536, 16 << 20} {
			r := ask[programtest.Trips](t, "echo", address, "--json", "--size", fmt.Sprint(size), "--count", "2")
			if !r.OK || r.Size != size || r.Count != 2 || !r.Ordered() {
				t.Errorf("echo of %d bytes: %+v", size, r)
			}
		}
		other := gopeer.Start(t, s)
		f := refuse(t, "dial", theirs.Addrs()[0].String()+"/p2p/"+other.ID().String(), "--json")
		if f.Stage != "security" || !strings.Contains(f.Error, "wrong-id") {
			t.Errorf("another id: %+v", f)
		}
		theirs.RemoveStreamHandler(node.Echo)
		if f := refuse(t, "echo", address, "--json"); f.Stage != "echo" {
			t.Errorf("echo of a host without it: %+v", f)
		}
		if err := theirs.Close(); err != nil {
			t.Fatal(err)
		}
		if s.Transport == "tcp" { // a closed UDP port may be silent
			if f := refuse(t, "dial", address, "--json"); f.Stage != "transport" ||
				!strings.Contains(f.Error, "refused") {
				t.Errorf("dial of a host that has gone: %+v", f)
			}
		} else {
			refuse(t, "dial", address, "--timeout", "1s", "--json")
		}
	})
}

// TestProgramIsVisited connects go-libp2p hosts and a js-libp2p node to the program, which must list them as peers.
func TestProgramIsVisited(t *testing.T) {
	t.Parallel()
	y := newNodeDir(t, "services.echo.enabled=true")
	y.start(t)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	seen := func(id string, want admin.Peer) {
		t.Helper()
		node.Await(t, "the program lists "+id, func() bool {
			for _, p := range ask[[]admin.Peer](t, "peers", "--json", "--home", y.Home) {
				if p.PeerID != id {
					continue
				}
				if p.Direction != admin.Inbound || p.Wire != "libp2p" || p.Transport != want.Transport ||
					p.Security != want.Security || p.Muxer != want.Muxer || p.Version != want.Version {
					t.Errorf("the program lists %+v", p)
				}
				return true
			}
			return false
		})
	}
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		theirs := gopeer.Start(t, s)
		us := peer.AddrInfo{ID: y.peerID, Addrs: []ma.Multiaddr{y.Listen[s.Transport]}}
		if err := theirs.Connect(ctx, us); err != nil {
			t.Fatal(err)
		}
		seen(theirs.ID().String(),
			admin.Peer{Transport: s.Transport, Security: s.Security, Muxer: s.Muxer, Version: gopeer.Agent})
		for _, size := range []int{0, 1, 1 << 20, 16 << 20} {
			st, err := theirs.NewStream(ctx, us.ID, node.Echo)
			if err != nil {
				t.Fatal(err)
			}
			if err := echo(st, size); err != nil {
				t.Errorf("echo of %d bytes: %v", size, err)
			}
		}
		pinging, stop := context.WithCancel(ctx)
		results := ping.Ping(pinging, theirs, us.ID)
		if r := <-results; r.Error != nil {
			t.Errorf("ping: %v", r.Error)
		}
		stop()
		for range results { // until its goroutine has ended
		}
		if agent, err := theirs.Peerstore().Get(us.ID, "AgentVersion"); err != nil ||
			!strings.HasPrefix(agent.(string), "switchyard/") {
			t.Errorf("the program's agent is %v (%v)", agent, err)
		}
		// The program visits itself over the same stack.
		if s.Name != "tcp-tls" { // it prefers Noise
			address := y.Listen[s.Transport].String() + "/p2p/" + y.peerID.String()
			if d := ask[programtest.Dialed](t, "dial", address, "--json"); !d.OK || d.PeerID != y.peerID.String() ||
				d.Info.Network != nodeNetwork || d.Transport != s.Transport || d.Security != s.Security {
				t.Errorf("the program dials itself: %+v", d)
			}
			if r := ask[programtest.Trips](t, "echo", address, "--json", "--size", "100000"); !r.OK {
				t.Errorf("the program's echo by itself: %+v", r)
			}
		}
	})
	t.Run("js-libp2p", func(t *testing.T) {
		theirs := jspeer.Start(t, "../jspeer")
		us := jspeer.Args{"peer": y.peerID.String(), "size": 1 << 20,
			"address": y.Listen["tcp"].String() + "/p2p/" + y.peerID.String()}
		for _, what := range []string{"dial", "identified", "ping", "echo"} {
			if err := theirs.Do(ctx, what, us, nil); err != nil {
				t.Error(err)
			}
		}
		seen(theirs.ID, admin.Peer{Transport: "tcp", Security: "noise", Muxer: "yamux", Version: jsAgent})
		if d := ask[programtest.Dialed](t, "dial", theirs.Listen[0], "--json"); !d.OK || d.PeerID != theirs.ID ||
			d.Security != "noise" || d.Info.Version != jsAgent {
			t.Errorf("the program dials js-libp2p: %+v", d)
		}
		r := ask[programtest.Trips](t, "ping", theirs.Listen[0], "--json", "--count", "3", "--interval", "0s")
		if !r.OK {
			t.Errorf("ping: %+v", r)
		}
		r = ask[programtest.Trips](t, "echo", theirs.Listen[0], "--json", "--size", "1000000", "--count", "3")
		if !r.OK {
			t.Errorf("echo: %+v", r)
		}
	})
}
