package sdk_test

import (
	"net"
	"testing"

	bank "github.com/cosmos/cosmos-sdk/x/bank/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// A validator of the SDK's own and two of ours make blocks together: ours link over MConn to the stock one and over
// QUIC to each other, serve what the SDK's node serves, and end as it does.
func TestNetwork(t *testing.T) {
	w := newNetwork(t, "stock", "ours", "ours")
	w.start()
	w.reach(3)

	stock, one, two := w.members[0], w.members[1], w.members[2]
	for _, m := range w.members[1:] {
		other := one
		if m == one {
			other = two
		}
		eventually(t, m, "its link to the other of ours is over QUIC", func() bool {
			by := m.transports(t)
			return len(by) == 2 && by[other.id] == "quic" && by[stock.id] == "tcp"
		})
	}
	for _, m := range w.members {
		w.checkNetInfo(m)
	}

	one.call(t, "tx", "bank", "send", "me", stock.account, "10stake", "--chain-id", chain, "--keyring-backend", "test",
		"--yes", "--node", "tcp://"+one.rpc)
	for _, m := range w.members {
		eventually(t, m, "the coins have moved", func() bool { return m.balance(t, stock.account) == "500000010stake" })
	}
	conn, err := grpc.NewClient(two.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := bank.NewQueryClient(conn).Balance(t.Context(),
		&bank.QueryBalanceRequest{Address: one.account, Denom: "stake"})
	if err != nil || r.Balance.String() != "499999990stake" {
		t.Fatalf("the balance over gRPC: %v, %v", r, err)
	}

	// A node of ours that restarts is back with the same home.
	two.process.Stop(t)
	two.launch(t)
	w.reach(one.height(t) + 3)

	for _, m := range w.members {
		m.process.Stop(t)
	}
}

// Without a node of its own the program runs what the SDK runs.
func TestWithoutNode(t *testing.T) {
	w := newNetwork(t, "ours")
	m := w.members[0]
	at := freeAddress(t)
	m.launch(t, "--with-comet=false", "--transport", "socket", "--address", "tcp://"+at)
	eventually(t, m, "the application listens", func() bool {
		c, err := net.Dial("tcp", at)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	m.process.Stop(t)

	m.launch(t, "--grpc-only")
	eventually(t, m, "the gRPC server listens", func() bool {
		c, err := net.Dial("tcp", m.grpc)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	m.process.Stop(t)
}

// checkNetInfo checks that a member shows all others, with all that RPC tells of a peer.
func (w *network) checkNetInfo(m *member) {
	t := w.t
	t.Helper()
	n, err := m.client.NetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range n.Peers {
		seen[string(p.NodeInfo.ID())] = true
		if len(p.NodeInfo.Channels) == 0 || p.NodeInfo.Other.RPCAddress == "" || p.NodeInfo.Network != chain ||
			len(p.ConnectionStatus.Channels) == 0 || p.RemoteIP != "127.0.0.1" {
			t.Errorf("%s shows %+v", m.kind, p)
		}
	}
	for _, o := range w.members {
		if o != m && !seen[o.id] || len(n.Peers) != len(w.members)-1 {
			t.Errorf("%s lacks %s %s: it has %d peers", m.kind, o.kind, o.id, len(n.Peers))
		}
	}
}
