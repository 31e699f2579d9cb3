package cometbft

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cometbft/cometbft/abci/example/kvstore"
	"github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	gogo "github.com/cosmos/gogoproto/types"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/switchyard-p2p/switchyard/transport"
)

// TestBadMessage: a peer whose message does not decode is stopped, and as it is persistent it comes back.
func TestBadMessage(t *testing.T) {
	net := newNetwork(t, "sb", nil)
	net.start()
	net.reach(2)
	stock, ours := net.nodes[0], net.nodes[1]
	y := ours.below
	bad := func(from *peer) {
		if err := from.peering.Send(t.Context(), y.channels[0x20].Channel, []byte("bad")); err != nil {
			t.Fatal(err)
		}
	}
	before, ok := ours.node.Switch().Peers().Get(stock.key.ID()).(*peer)
	if !ok {
		t.Fatal("the peer is not ours")
	}
	bad(before)
	eventually(t, "the stock node has ended the link", before.ending, nil)
	at := ours.height()
	net.reach(at + 2) // both sign, so they are linked

	// The other way round: what we receive.
	p := ours.node.Switch().Peers().Get(stock.key.ID()).(*peer)
	y.channels[0x20].receive(p, []byte("bad"))
	if !p.ending() || p.IsRunning() {
		t.Error("the peer is still running")
	}
	at = ours.height()
	net.reach(at + 2)
}

// slow is a reactor that takes long for a message.
type slow struct {
	p2p.BaseReactor
	received atomic.Int64
	release  chan struct{}
}

const slowChannel = 0x71

func newSlow() *slow {
	r := &slow{release: make(chan struct{})}
	r.BaseReactor = *p2p.NewBaseReactor("Slow", r)
	return r
}

func (*slow) GetChannels() []*conn.ChannelDescriptor {
	return []*conn.ChannelDescriptor{{ID: slowChannel, Priority: 1, SendQueueCapacity: 10,
		MessageType: &gogo.StringValue{}}}
}

func (r *slow) Receive(p2p.Envelope) {
	r.received.Add(1)
	<-r.release
}

// TestSlowReactor: blocks go on while a reactor of the program's own is stuck with a message.
func TestSlowReactor(t *testing.T) {
	net := newNetwork(t, "mb", nil)
	var reactors []*slow
	for _, n := range net.nodes {
		r := newSlow()
		reactors = append(reactors, r)
		n.start(t, node.CustomReactors(map[string]p2p.Reactor{"SLOW": r}))
	}
	defer func() {
		for _, r := range reactors {
			close(r.release)
		}
	}()
	net.reach(2)
	a, b := net.nodes[0], net.nodes[1]
	p := a.node.Switch().Peers().Get(b.key.ID())
	for range 20 {
		p.TrySend(p2p.Envelope{ChannelID: slowChannel, Message: &gogo.StringValue{Value: "hello"}})
	}
	eventually(t, "the reactor is stuck", func() bool { return reactors[1].received.Load() > 0 }, nil)
	net.reach(a.height() + 5)
	if got := reactors[1].received.Load(); got != 1 {
		t.Errorf("the reactor was called %d times, for one peer", got)
	}
}

// TestAnswersWait: a node that is asked for more than its queue holds sends all of it.
func TestAnswersWait(t *testing.T) {
	net := newNetwork(t, "mb", nil)
	net.start()
	net.reach(2)
	a, b := net.nodes[0], net.nodes[1]
	p := a.node.Switch().Peers().Get(b.key.ID())
	for i := range 20 { // of 1 MiB, in a queue of 640 KiB
		if !p.TrySend(p2p.Envelope{ChannelID: chunksChannel, Message: chunkOf(1 << 20)}) {
			t.Fatalf("chunk %d is refused", i)
		}
	}
	if !p.IsRunning() {
		t.Error("the peer has stopped")
	}
}

// filtering is an application that refuses some peers.
type filtering struct {
	*kvstore.Application
	refuse func(path string) bool
	asked  atomic.Int64
}

func (a *filtering) Query(ctx context.Context, q *queryRequest) (*queryResponse, error) {
	if strings.HasPrefix(q.Path, "/p2p/filter/") {
		a.asked.Add(1)
		if a.refuse(q.Path) {
			return &queryResponse{Code: 1}, nil
		}
		return &queryResponse{}, nil
	}
	return a.Application.Query(ctx, q)
}

// TestFilterPeers: with filter_peers the application decides on peers, by address and by id.
func TestFilterPeers(t *testing.T) {
	net := newNetwork(t, "bbs", nil)
	judge, other, stock := net.nodes[0], net.nodes[1], net.nodes[2]
	judge.cfg.FilterPeers = true
	refused := string(other.key.ID())
	app := &filtering{Application: kvstore.NewInMemoryApplication(), refuse: func(path string) bool {
		return strings.HasSuffix(path, refused)
	}}
	judge.app = app
	net.start()
	net.reach(3)
	if judge.node.Switch().Peers().Has(other.key.ID()) || other.node.Switch().Peers().Has(judge.key.ID()) {
		t.Error("the refused peer is there")
	}
	if !judge.node.Switch().Peers().Has(stock.key.ID()) || app.asked.Load() < 2 {
		t.Errorf("the other peer is not there, or the application was not asked (%d)", app.asked.Load())
	}
}

// TestDuplicateIP: without allow_duplicate_ip a node takes one peer of an IP.
func TestDuplicateIP(t *testing.T) {
	net := newNetwork(t, "bbb", nil)
	one := net.nodes[0]
	one.cfg.P2P.AllowDuplicateIP = false
	net.start()
	net.reach(3) // the others are linked with each other
	if got := one.node.Switch().Peers().Size(); got != 1 {
		t.Errorf("%d peers of one IP", got)
	}
}

// TestMetrics: CometBFT's registry has its own p2p figures and Switchyard's, until the node stops.
func TestMetrics(t *testing.T) {
	net := newNetwork(t, "sb", nil)
	ours := net.nodes[1]
	ours.cfg.Instrumentation.Prometheus = true
	ours.cfg.Instrumentation.PrometheusListenAddr = "127.0.0.1:0"
	net.start()
	net.reach(3)
	for _, name := range []string{"cometbft_p2p_peers", "cometbft_p2p_message_receive_bytes_total",
		"cometbft_p2p_message_send_bytes_total", "switchyard_"} {
		if f := family(t, name); f == nil {
			t.Errorf("no metric %s", name)
		} else if m := f.Metric[0]; m.GetGauge().GetValue()+m.GetCounter().GetValue() == 0 && name != "switchyard_" {
			t.Errorf("%s is 0", name)
		}
	}
	ours.stop()
	if f := family(t, "switchyard_"); f != nil {
		t.Errorf("%s is still there", f.GetName())
	}
}

// family returns the first metric whose name begins so.
func family(t *testing.T, name string) *dto.MetricFamily {
	t.Helper()
	all, err := prometheus.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if strings.HasPrefix(f.GetName(), name) {
			return f
		}
	}
	return nil
}

// TestAddressBook: addrbook.json is read at the first start and at no later one.
func TestAddressBook(t *testing.T) {
	net := newNetwork(t, "b", nil)
	n := net.nodes[0]
	known := &p2p.NodeKey{PrivKey: n.pv.Key.PrivKey}
	book := `{"key":"00","addrs":[{"addr":{"id":"` + string(known.ID()) + `","ip":"192.0.2.7","port":26656},` +
		`"src":{"id":"` + string(known.ID()) + `","ip":"192.0.2.7","port":26656},"buckets":[1],"attempts":0,` +
		`"bucket_type":1,"last_attempt":"2026-01-01T00:00:00Z","last_success":"0001-01-01T00:00:00Z",` +
		`"last_ban_time":"0001-01-01T00:00:00Z"}]}`
	write := func(text string) {
		path := filepath.Join(n.cfg.RootDir, "config", "addrbook.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(book)
	n.start(t)
	if got := n.below.host.Load().PeerManager().Addresses(transport.NodeID(known.ID())); len(got) != 1 {
		t.Errorf("addresses: %v", got)
	}
	n.stop()
	other := strings.Repeat("ab", 20)
	write(strings.ReplaceAll(book, string(known.ID()), other))
	n.start(t)
	if got := n.below.host.Load().PeerManager().Addresses(transport.NodeID(other)); len(got) != 0 {
		t.Errorf("the address book was read again: %v", got)
	}
}

// TestTransactions: many transactions through one node are committed by all, over both wires.
func TestTransactions(t *testing.T) {
	net := newNetwork(t, "smbb", nil)
	net.start()
	net.reach(2)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const count = 300
	for i := range count {
		n := net.nodes[i%len(net.nodes)]
		res, err := n.client.BroadcastTxSync(ctx, []byte(fmt.Sprintf("tx%d=%d", i, i)))
		if err != nil || res.Code != 0 {
			t.Fatal(err, res)
		}
	}
	for _, n := range net.nodes {
		eventually(t, n.cfg.Moniker+" has all transactions", func() bool {
			for i := count - 1; i >= 0; i-- {
				res, err := n.client.ABCIQuery(ctx, "", []byte(fmt.Sprintf("tx%d", i)))
				if err != nil || !bytes.Equal(res.Response.Value, []byte(fmt.Sprint(i))) {
					return false
				}
			}
			return true
		}, nil)
	}
}
