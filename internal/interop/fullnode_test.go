package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cometbft/cometbft/config"

	"github.com/switchyard-p2p/switchyard/discovery/pex"
	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/internal/programtest"
)

// fullNode is a CometBFT node as an operator runs it: the program with its built-in key-value application, the only
// validator.
type fullNode struct {
	process *programtest.Process
	chain   string
	id      string
	p2p     string // host:port
	rpc     string // URL
}

func startFullNode(t *testing.T, program string) *fullNode {
	t.Helper()
	home := t.TempDir()
	if r := programtest.Call(t, program, "init", "--home", home); r.Code != 0 {
		t.Fatalf("cometbft init: %s%s", r.Out, r.Err)
	}
	n := &fullNode{}
	data, err := os.ReadFile(filepath.Join(home, "config", "genesis.json"))
	if err != nil {
		t.Fatal(err)
	}
	var genesis struct {
		ChainID string `json:"chain_id"`
	}
	if err := json.Unmarshal(data, &genesis); err != nil || genesis.ChainID == "" {
		t.Fatalf("genesis: %v in %s", err, data)
	}
	n.chain = genesis.ChainID
	n.id = strings.TrimSpace(programtest.Call(t, program, "show-node-id", "--home", home).Out)
	for range 3 { // another process may take a free port before the node does
		n.p2p, n.rpc = programtest.FreeAddress(t), programtest.FreeAddress(t)
		c := config.DefaultConfig()
		c.SetRoot(home)
		c.P2P.ListenAddress, c.RPC.ListenAddress = "tcp://"+n.p2p, "tcp://"+n.rpc
		c.P2P.AllowDuplicateIP, c.P2P.AddrBookStrict = true, false
		c.Consensus.TimeoutCommit = 500 * time.Millisecond
		config.WriteConfigFile(filepath.Join(home, "config", "config.toml"), c)
		n.rpc = "http://" + n.rpc
		n.process = programtest.Launch(t, program, "start", "--home", home, "--proxy_app=kvstore")
		begun := within(60*time.Second, func() bool { h, err := n.height(t); return err == nil && h > 0 || n.ended() })
		if begun && !n.ended() {
			return n
		}
		n.process.Kill()
	}
	t.Fatalf("cometbft start made no block:\n%s", n.process.Tail())
	return nil
}

func (n *fullNode) ended() bool {
	select {
	case <-n.process.Done:
		return true
	default:
		return false
	}
}

// get calls the node's RPC.
func (n *fullNode) get(t *testing.T, path string, into any) error {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", n.rpc+path, nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(into)
}

// height returns the height of the latest block.
func (n *fullNode) height(t *testing.T) (int, error) {
	var s struct {
		Result struct {
			SyncInfo struct {
				Height string `json:"latest_block_height"`
			} `json:"sync_info"`
		} `json:"result"`
	}
	if err := n.get(t, "/status", &s); err != nil {
		return 0, err
	}
	return strconv.Atoi(s.Result.SyncInfo.Height)
}

// cometNetInfo is the part of /net_info that we read.
type cometNetInfo struct {
	Result struct {
		Peers []struct {
			NodeInfo struct {
				ID       string `json:"id"`
				Moniker  string `json:"moniker"`
				Network  string `json:"network"`
				Channels string `json:"channels"`
				Listen   string `json:"listen_addr"`
			} `json:"node_info"`
			IsOutbound bool `json:"is_outbound"`
		} `json:"peers"`
	} `json:"result"`
}

// TestFullNode runs our program beside a full node of the release that this module requires.
func TestFullNode(t *testing.T) {
	t.Parallel()
	testFullNode(t, cometbftProgram(t))
}

// testFullNode joins our program to a CometBFT full node, which lists it and keeps it while producing blocks. Our
// commands show and visit the full node.
func testFullNode(t *testing.T, program string) {
	full := startFullNode(t, program)
	address := full.id + "@" + full.p2p
	ours := newNodeDir(t, full.chain, "our-node", fmt.Sprintf("peers.persistent=[%q]", address))
	node := ours.Start(t)

	listed := func() bool {
		var info cometNetInfo
		if err := full.get(t, "/net_info", &info); err != nil {
			t.Fatal(err)
		}
		for _, p := range info.Result.Peers {
			i := p.NodeInfo
			if i.ID == ours.NodeID {
				if i.Moniker != "our-node" || i.Network != full.chain ||
					!strings.EqualFold(i.Channels, fmt.Sprintf("%02x", pex.ChannelID)) || i.Listen != ours.TCP(t) {
					t.Errorf("net_info shows %+v", p)
				}
				return true
			}
		}
		return false
	}
	waitFor(t, 15*time.Second, "the full node lists ours in /net_info", listed)
	began := time.Now()
	before, err := full.height(t)
	if err != nil {
		t.Fatal(err)
	}

	peers := ours.peers(t)
	if len(peers) != 1 {
		t.Fatalf("peers: %+v", peers)
	}
	p := peers[0]
	if string(p.NodeID) != full.id || p.Direction != admin.Outbound || p.Wire != "comet" || p.Transport != "tcp" ||
		p.Security != "secretconn" || p.Muxer != "mconn" ||
		p.Network != full.chain || p.Moniker == "" || !p.Trusted || !slices.Contains(p.Channels, int(pex.ChannelID)) ||
		!strings.HasPrefix(p.PeerID, "12D3Koo") ||
		!strings.HasSuffix(p.Address, "/mconn/"+full.id) || p.Sent == 0 || p.Received == 0 {
		t.Errorf("peers: %+v", p)
	}
	status := ask[admin.Status](t, "status", "--json", "--home", ours.Home)
	if string(status.NodeID) != ours.NodeID || status.Network != full.chain || status.Moniker != "our-node" ||
		status.Peers != (admin.PeerCounts{Outbound: 1, Trusted: 1}) || status.Store.Known < 1 {
		t.Errorf("status: %+v", status)
	}

	dialed := ask[programtest.Dialed](t, "dial", address, "--json")
	if dialed.Info.Network != full.chain || !slices.Contains(dialed.Info.Channels, 0x20) {
		t.Errorf("dial: %+v", dialed)
	}
	if trips := ask[programtest.Trips](t, "ping", address, "--json", "--count", "3", "--interval", "10ms"); !trips.OK ||
		trips.Count != 3 || trips.RTT.Min <= 0 {
		t.Errorf("ping: %+v", trips)
	}
	if f := refuse(t, "echo", address, "--json"); !strings.Contains(f.Error, "no echo service (channel 0x7e)") {
		t.Errorf("echo: %+v", f)
	}

	waitFor(t, 30*time.Second, "the link is 16 s old", func() bool { return time.Since(began) > 16*time.Second })
	if !listed() {
		t.Error("the full node dropped ours")
	}
	if peers := ours.peers(t); len(peers) != 1 || peers[0].Connected < 15 {
		t.Errorf("the link did not stay: %+v", peers)
	}
	after, err := full.height(t)
	if err != nil || after < before+5 {
		t.Errorf("the full node made blocks %d to %d in %v: %v", before, after, time.Since(began), err)
	}
	t.Logf("%d blocks in %v beside our node", after-before, time.Since(began).Round(time.Millisecond))

	// A link that ends comes up again, whichever end dials first: CometBFT looks for peers each 30 s from its start on,
	// and ours dials a peer that an operator has disconnected after 30 s and a quarter at most.
	ended := time.Now()
	if err := ours.client.Disconnect(t.Context(), p.NodeID); err != nil {
		t.Fatal(err)
	}
	waitFor(t, time.Minute, "one of the two dials again", func() bool {
		peers := ours.peers(t)
		return len(peers) == 1 && peers[0].Connected < 10 && listed()
	})
	t.Logf("linked again after %v", time.Since(ended).Round(time.Millisecond))
	node.Stop(t)
	waitFor(t, 10*time.Second, "the full node sees that ours has gone", func() bool { return !listed() })
}
