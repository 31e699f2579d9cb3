package interop

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/interop/cometpeer"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// TestProgramVisits runs the program's dial, ping and echo against a real CometBFT switch.
func TestProgramVisits(t *testing.T) {
	t.Parallel()
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "visited"})
	forms := []string{c.Address(), "mconn://" + c.Address(),
		"/ip4/127.0.0.1/tcp/" + portOf(t, c.Address()) + "/mconn/" + c.ID(),
		"/ip4/127.0.0.1/tcp/" + portOf(t, c.Address())}

	for _, form := range forms {
		for _, args := range [][]string{nil, {"--network", network}} {
			d := ask[programtest.Dialed](t, append([]string{"dial", form, "--json"}, args...)...)
			if !d.OK || d.NodeID != c.ID() || !strings.HasPrefix(d.PeerID, "12D3Koo") || d.Wire != "comet" ||
				d.Transport != "tcp" || d.Security != "secretconn" || d.Muxer != "mconn" {
				t.Errorf("dial %s: %+v", form, d)
			}
			if stages := d.StageNames(t); !slices.Equal(stages, []string{"transport", "security", "muxer", "info"}) {
				t.Errorf("dial %s: stages %v", form, stages)
			}
			i := d.Info
			slices.Sort(i.Channels)
			if i.Moniker != "visited" || i.Network != network || i.Version == "" || i.Protocols == nil ||
				len(i.Listen) != 1 || !strings.HasSuffix(i.Listen[0], portOf(t, c.Address())) ||
				!slices.Equal(i.Channels, []int{int(pex.ChannelID), cometpeer.EchoChannel}) {
				t.Errorf("dial %s: info %+v", form, i)
			}
		}
	}

	if p := ask[programtest.Trips](t, "ping", c.Address(), "--json", "--count", "20", "--interval", "0s"); !p.OK ||
		p.Count != 20 || !p.Ordered() {
		t.Errorf("ping: %+v", p)
	}
	for _, size := range []int{1, 2, 1023, 1024, 1025, 65536, 1 << 20, 4 << 20} {
		count := max(2, min(20, (1<<20)/size))
		e := ask[programtest.Trips](t, "echo", c.Address(), "--json",
			"--size", fmt.Sprint(size), "--count", fmt.Sprint(count))
		if !e.OK || e.Size != size || e.Count != count || !e.Ordered() {
			t.Errorf("echo of %d bytes: %+v", size, e)
		}
	}

	if f := refuse(t, "dial", c.Address(), "--network", "another-net", "--json"); f.Stage != "info" ||
		!strings.Contains(f.Error, "wrong-network") ||
		!strings.Contains(f.Error, network) || !strings.Contains(f.Error, "another-net") {
		t.Errorf("another network: %+v", f)
	}
	wrong := strings.Repeat("ab", 20)
	if f := refuse(t, "dial", wrong+"@"+c.Info.ListenAddr, "--network", network, "--json"); f.Stage != "security" ||
		!strings.Contains(f.Error, c.ID()) || !strings.Contains(f.Error, wrong) {
		t.Errorf("another node: %+v", f)
	}
	closed := programtest.FreeAddress(t)
	for _, command := range []string{"dial", "ping", "echo"} {
		if f := refuse(t, command, wrong+"@"+closed, "--json"); f.Stage != "transport" ||
			!strings.Contains(f.Error, "refused") {
			t.Errorf("%s of a closed port: %+v", command, f)
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	began := time.Now()
	if f := refuse(t, "dial", silent.Addr().String(), "--timeout", "500ms", "--json"); f.Stage != "security" ||
		!strings.Contains(f.Error, "500ms") || time.Since(began) > 5*time.Second {
		t.Errorf("a silent port, after %v: %+v", time.Since(began), f)
	}
	c.Stop()
	refuse(t, "dial", c.Address(), "--json")
}

func portOf(t *testing.T, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestProgramJoins joins the program to a network of real CometBFT switches through their seed, steers it by its
// commands, and checks that it finds the network again after a restart without the seed.
func TestProgramJoins(t *testing.T) {
	t.Parallel()
	seed, comets := startComets(t, 5)
	ours := newNodeDir(t, network, "the-program", "services.echo.enabled=true")
	p := ours.Start(t, fmt.Sprintf("peers.bootstrap=[%q]", seed.Address()))
	r := programtest.Call(t, switchyardProgram(t), "start", "--home", ours.Home,
		"--set", "admin.address="+programtest.FreeAddress(t))
	if r.Code != 1 || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, "in use") {
		t.Errorf("a second node of the same folder: code %d, %q", r.Code, r.Err)
	}
	joined := func(want int) func() bool {
		return func() bool { return len(ours.peers(t)) == want }
	}
	waitFor(t, 20*time.Second, "joined all", joined(len(comets)))
	status := ask[admin.Status](t, "status", "--json", "--home", ours.Home)
	if status.Peers.Inbound+status.Peers.Outbound != len(comets) || status.Store.Known < len(comets) ||
		len(status.Listen) != 1 || status.Goroutines < 1 {
		t.Errorf("status: %+v", status)
	}
	for _, peer := range ours.peers(t) {
		i := slices.IndexFunc(comets, func(c *cometpeer.Node) bool { return c.ID() == string(peer.NodeID) })
		if i < 0 || peer.Moniker != comets[i].Info.Moniker || peer.Network != network || peer.Wire != "comet" ||
			peer.Transport != "tcp" || peer.Security != "secretconn" || peer.Muxer != "mconn" ||
			len(peer.Channels) != 2 || peer.Connected <= 0 || peer.Direction != admin.Inbound &&
			peer.Direction != admin.Outbound {
			t.Errorf("peers: %+v", peer)
		}
	}
	visitOurs(t, ours)
	banned(t, ours, comets[1])
	p.Stop(t)

	seed.Stop()
	p = ours.Start(t)
	began := time.Now()
	left := len(comets) - 2 // one is banned, one has gone
	waitFor(t, 20*time.Second, "joined those that are left", joined(left))
	t.Logf("found %d peers again after %v", left, time.Since(began).Round(time.Millisecond))
	if comets[1].Peer(ours.NodeID) != nil {
		t.Error("the banned peer is connected after the restart")
	}
	p.Stop(t)
}

// visitOurs visits our running node as a CometBFT peer would; its echo service must answer.
func visitOurs(t *testing.T, ours *nodeDir) {
	t.Helper()
	if d := ask[programtest.Dialed](t, "dial", ours.Address(t), "--json"); d.NodeID != ours.NodeID ||
		d.Info.Moniker != "the-program" {
		t.Errorf("dial: %+v", d)
	}
	e := ask[programtest.Trips](t, "echo", ours.Address(t), "--json", "--size", "100000", "--count", "5")
	if e.Count != 5 {
		t.Errorf("echo: %+v", e)
	}
	c := cometpeer.Start(t, cometpeer.Config{Network: network, Moniker: "caller", NoPEX: true})
	answers := make(chan []byte, 1)
	c.Echo.Swap(func(e p2p.Envelope) { answers <- e.Message.(*cometpeer.Raw).Bytes })
	peer := dialFrom(t, c, ours.Address(t))
	if peer == nil || !peer.Send(p2p.Envelope{ChannelID: cometpeer.EchoChannel,
		Message: &cometpeer.Raw{Bytes: []byte("from a real switch")}}) {
		t.Fatal("a CometBFT switch could not send to our program")
	}
	select {
	case b := <-answers:
		if string(b) != "from a real switch" {
			t.Errorf("the echo is %q", b)
		}
	case <-time.After(10 * time.Second):
		t.Error("our program did not answer the echo of a CometBFT switch")
	}
	c.Stop()
	waitFor(t, 10*time.Second, "our program sees that the caller has gone", func() bool {
		return !slices.ContainsFunc(ours.peers(t), func(p admin.Peer) bool { return string(p.NodeID) == c.ID() })
	})
}

// dialFrom lets a CometBFT switch dial and returns its peer, or nil if it was refused.
func dialFrom(t *testing.T, c *cometpeer.Node, address string) p2p.Peer {
	t.Helper()
	at, err := p2p.NewNetAddressString(address)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Switch.DialPeerWithAddress(at)
	return c.Switch.Peers().Get(at.ID)
}

// banned bans a peer by command. Its link must end, and no dial in either direction may restore it until the ban is
// lifted.
func banned(t *testing.T, ours *nodeDir, c *cometpeer.Node) {
	t.Helper()
	program := switchyardProgram(t)
	has := func() bool {
		return slices.ContainsFunc(ours.peers(t), func(p admin.Peer) bool { return string(p.NodeID) == c.ID() })
	}
	ban := func() {
		t.Helper()
		if r := programtest.Call(t, program, "ban", c.ID(), "--reason", "a test", "--home", ours.Home); r.Code != 0 {
			t.Fatalf("ban: %+v", r)
		}
		waitFor(t, 10*time.Second, "the banned peer's link ends", func() bool {
			return !has() && c.Peer(ours.NodeID) == nil
		})
	}
	ban()
	if _, err := ours.client.Dial(t.Context(), c.Address()); err == nil || !strings.Contains(err.Error(), "banned") {
		t.Errorf("a dial to the banned peer: %v", err)
	}
	for range 3 {
		dialFrom(t, c, ours.Address(t))
		waitFor(t, 10*time.Second, "the banned peer's dial is refused", func() bool {
			return c.Peer(ours.NodeID) == nil
		})
	}
	if has() {
		t.Error("the banned peer is back")
	}
	if r := programtest.Call(t, program, "unban", c.ID(), "--home", ours.Home); r.Code != 0 {
		t.Fatalf("unban: %+v", r)
	}
	waitFor(t, 10*time.Second, "the peer is back after the ban", func() bool {
		// refused for a moment while CometBFT still removes the last link
		_, _ = ours.client.Dial(t.Context(), c.Address())
		return has()
	})
	ban()
	if bans, err := ours.client.Bans(t.Context()); err != nil || len(bans) != 1 || bans[0].Target != c.ID() ||
		bans[0].Reason != "a test" {
		t.Errorf("bans: %+v, %v", bans, err)
	}
}
