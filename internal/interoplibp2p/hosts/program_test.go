package hosts

import (
	"context"
	"fmt"
	"net"
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
)

// dialed is what dial --json prints.
type dialed struct {
	OK        bool   `json:"ok"`
	Address   string `json:"address"`
	NodeID    string `json:"node_id"`
	PeerID    string `json:"peer_id"`
	Wire      string `json:"wire"`
	Transport string `json:"transport"`
	Security  string `json:"security"`
	Muxer     string `json:"muxer"`
	Stages    []struct {
		Name string   `json:"name"`
		MS   *float64 `json:"ms"`
	} `json:"stages"`
	Info struct {
		Moniker   string   `json:"moniker"`
		Network   string   `json:"network"`
		Version   string   `json:"version"`
		Channels  []int    `json:"channels"`
		Protocols []string `json:"protocols"`
		Listen    []string `json:"listen"`
	} `json:"info"`
}

// trips is what ping --json and echo --json print.
type trips struct {
	OK    bool `json:"ok"`
	Size  int  `json:"size"`
	Count int  `json:"count"`
	RTT   struct {
		Min float64 `json:"min"`
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"rtt_ms"`
}

func (r trips) ordered() bool {
	return r.RTT.Min > 0 && r.RTT.Min <= r.RTT.P50 && r.RTT.P50 <= r.RTT.P99 && r.RTT.P99 <= r.RTT.Max
}

// TestProgramVisits: dial, ping and echo of the real program against real hosts of go-libp2p, over every stack.
func TestProgramVisits(t *testing.T) {
	t.Parallel()
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		theirs := gopeer.Start(t, s)
		address := theirs.Addrs()[0].String() + "/p2p/" + theirs.ID().String()
		for _, form := range []string{address, theirs.Addrs()[0].String()} {
			d := ask[dialed](t, "dial", form, "--json")
			if !d.OK || d.PeerID != theirs.ID().String() || d.Wire != "libp2p" || d.Transport != s.Transport || d.Security != s.Security || d.Muxer != s.Muxer {
				t.Errorf("dial %s: %+v", form, d)
			}
			if d.Info.Version != gopeer.Agent || !slices.Contains(d.Info.Protocols, node.Echo) || !slices.Contains(d.Info.Listen, theirs.Addrs()[0].String()) || len(d.Info.Channels) != 0 {
				t.Errorf("dial %s: info %+v", form, d.Info)
			}
			var stages []string
			for _, st := range d.Stages {
				if st.MS == nil || *st.MS < 0 || *st.MS > 5000 {
					t.Errorf("dial %s: stage %s took %v", form, st.Name, st.MS)
				}
				stages = append(stages, st.Name)
			}
			if len(stages) < 2 || stages[0] != "transport" || stages[len(stages)-1] != "info" {
				t.Errorf("dial %s: stages %v", form, stages)
			}
		}
		if r := ask[trips](t, "ping", address, "--json", "--count", "10", "--interval", "0s"); !r.OK || r.Count != 10 || !r.ordered() {
			t.Errorf("ping: %+v", r)
		}
		for _, size := range []int{0, 1, 65536, 16 << 20} {
			if r := ask[trips](t, "echo", address, "--json", "--size", fmt.Sprint(size), "--count", "2"); !r.OK || r.Size != size || r.Count != 2 || !r.ordered() {
				t.Errorf("echo of %d bytes: %+v", size, r)
			}
		}
		other := gopeer.Start(t, s)
		if f := refuse(t, "dial", theirs.Addrs()[0].String()+"/p2p/"+other.ID().String(), "--json"); f.Stage != "security" || !strings.Contains(f.Error, "wrong-id") {
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
			if f := refuse(t, "dial", address, "--json"); f.Stage != "transport" || !strings.Contains(f.Error, "refused") {
				t.Errorf("dial of a host that has gone: %+v", f)
			}
		} else {
			refuse(t, "dial", address, "--timeout", "1s", "--json")
		}
	})
}

// TestProgramIsVisited: hosts of go-libp2p and a node of js-libp2p meet the real program, which shows them among its peers.
func TestProgramIsVisited(t *testing.T) {
	t.Parallel()
	y := newYard(t, "services.echo.enabled=true")
	y.start(t)
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	defer cancel()
	seen := func(id string, want admin.Peer) {
		t.Helper()
		node.Await(t, "the program lists "+id, func() bool {
			for _, p := range ask[[]admin.Peer](t, "peers", "--json", "--home", y.home) {
				if p.PeerID != id {
					continue
				}
				if p.Direction != admin.Inbound || p.Wire != "libp2p" || p.Transport != want.Transport || p.Security != want.Security || p.Muxer != want.Muxer || p.Version != want.Version {
					t.Errorf("the program lists %+v", p)
				}
				return true
			}
			return false
		})
	}
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		theirs := gopeer.Start(t, s)
		us := peer.AddrInfo{ID: y.peerID, Addrs: []ma.Multiaddr{y.listen[s.Transport]}}
		if err := theirs.Connect(ctx, us); err != nil {
			t.Fatal(err)
		}
		seen(theirs.ID().String(), admin.Peer{Transport: s.Transport, Security: s.Security, Muxer: s.Muxer, Version: gopeer.Agent})
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
		if agent, err := theirs.Peerstore().Get(us.ID, "AgentVersion"); err != nil || !strings.HasPrefix(agent.(string), "switchyard/") {
			t.Errorf("the program's agent is %v (%v)", agent, err)
		}
		// The program visits itself over the same stack.
		if s.Name != "tcp-tls" { // it prefers Noise
			address := y.listen[s.Transport].String() + "/p2p/" + y.peerID.String()
			if d := ask[dialed](t, "dial", address, "--json"); !d.OK || d.PeerID != y.peerID.String() || d.Info.Network != yardNetwork || d.Transport != s.Transport || d.Security != s.Security {
				t.Errorf("the program dials itself: %+v", d)
			}
			if r := ask[trips](t, "echo", address, "--json", "--size", "100000"); !r.OK {
				t.Errorf("the program's echo by itself: %+v", r)
			}
		}
	})
	t.Run("js-libp2p", func(t *testing.T) {
		theirs := jspeer.Start(t, "../jspeer")
		us := jspeer.Args{"peer": y.peerID.String(), "address": y.listen["tcp"].String() + "/p2p/" + y.peerID.String(), "size": 1 << 20}
		for _, what := range []string{"dial", "identified", "ping", "echo"} {
			if err := theirs.Do(ctx, what, us, nil); err != nil {
				t.Error(err)
			}
		}
		seen(theirs.ID, admin.Peer{Transport: "tcp", Security: "noise", Muxer: "yamux", Version: jsAgent})
		if d := ask[dialed](t, "dial", theirs.Listen[0], "--json"); !d.OK || d.PeerID != theirs.ID || d.Security != "noise" || d.Info.Version != jsAgent {
			t.Errorf("the program dials js-libp2p: %+v", d)
		}
		if r := ask[trips](t, "ping", theirs.Listen[0], "--json", "--count", "3", "--interval", "0s"); !r.OK {
			t.Errorf("ping: %+v", r)
		}
		if r := ask[trips](t, "echo", theirs.Listen[0], "--json", "--size", "1000000", "--count", "3"); !r.OK {
			t.Errorf("echo: %+v", r)
		}
	})
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
