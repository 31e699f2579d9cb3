package signer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// troubles are what can be wrong with a signer, apart from being slow.
var troubles = map[string]struct {
	begin, end func(*line)
}{
	"away":    {func(l *line) { l.down = true }, func(l *line) { l.down = false }},
	"hangs":   {func(l *line) { l.hangs = -1 }, func(l *line) { l.hangs = 0 }},
	"lies":    {func(l *line) { l.lies = true }, func(l *line) { l.lies = false }},
	"refuses": {func(l *line) { l.refuses = true }, func(l *line) { l.refuses = false }},
}

// signed builds a network whose first node has its key in a signer.
func signed(t *testing.T, wires []string, security string) (*hosttest.Network, *line, *Identity) {
	t.Helper()
	var id *Identity
	var l *line
	net := hosttest.New(t, hosttest.Options{Nodes: 3, Security: security, Stopped: true,
		Speaks: func(*hosttest.Node) []string { return wires },
		Identity: func(n *hosttest.Node) handshake.Identity {
			if n.Index == 0 {
				return id
			}
			return n.Key
		}})
	l = newLine(t, net.Nodes[0].Key)
	id = New(l, Config{Signer: where})
	net.Start()
	return net, l, id
}

// A node whose signer is away, hangs, refuses or lies for an hour loses no link and makes new ones over Noise and TLS,
// in both directions. It makes none over comet, whose handshakes end at their deadline; peers are not blamed for that.
func TestNodesWithATroubledSigner(t *testing.T) {
	for _, wire := range []struct {
		name, wire, security string
	}{{"comet", "comet", ""}, {"noise", "libp2p", "noise"}, {"tls", "libp2p", "tls"}} {
		for name, trouble := range troubles {
			t.Run(wire.name+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					net, l, id := signed(t, []string{wire.wire}, wire.security)
					node, dialer, dialed := net.Nodes[0], net.Nodes[1], net.Nodes[2]
					dialer.Learn(node)
					node.Learn(dialed)
					net.AwaitLink(node, dialer)
					net.AwaitLink(node, dialed)
					before := id.Stats()

					l.set(trouble.begin)
					net.AssertHolds("the links outlive the signer", time.Hour, func() string {
						if !node.Has(dialer) || !node.Has(dialed) {
							return "One is gone."
						}
						return ""
					})
					dialer.Restart()
					dialed.Restart()
					if wire.name != "comet" {
						if a, b := net.AwaitLink(node, dialer), net.AwaitLink(node, dialed); a+b > 10*time.Second {
							t.Errorf("new links took %v and %v", a, b)
						}
						return
					}
					net.AwaitNoLink(node, dialer)
					time.Sleep(10 * time.Minute)
					if node.Has(dialer) || node.Has(dialed) {
						t.Fatal("a link without a signature")
					}
					failed := append(node.Events(host.EventDialFailed), node.Events(host.EventRefused)...)
					seen := 0
					for _, e := range failed {
						if e.Reason.Code == muxer.CodeNoSignature {
							seen++
						}
						if e.Duration > handshake.DefaultTimeout+time.Second {
							t.Errorf("a handshake took %v: %v", e.Duration, e.Reason)
						}
					}
					if seen == 0 {
						t.Errorf("no event names the signature: %v", failed)
					}
					l.set(trouble.end)
					if took := net.AwaitLink(node, dialed); took > time.Minute {
						t.Errorf("the dialed peer took %v", took)
					}
					net.AwaitLink(node, dialer)
					if after := id.Stats(); after.Signed <= before.Signed {
						t.Errorf("%+v", after)
					}
				})
			})
		}
	}
}

// A node that speaks both wires and whose signer hangs links over libp2p as fast as ever, while its comet handshakes
// wait.
func TestAStuckSignerDelaysOneWireAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var id *Identity
		const others = 60
		net := hosttest.New(t, hosttest.Options{Nodes: 1 + others, Stopped: true,
			Speaks: func(n *hosttest.Node) []string {
				switch {
				case n.Index == 0:
					return []string{"comet", "libp2p"}
				case n.Index <= others/2:
					return []string{"comet"}
				}
				return []string{"libp2p"}
			},
			Tune: func(n *hosttest.Node, c *host.Config) { c.Peers.MaxOutbound, c.Peers.MaxInbound = others, others },
			Identity: func(n *hosttest.Node) handshake.Identity {
				if n.Index == 0 {
					return id
				}
				return n.Key
			}})
		l := newLine(t, net.Nodes[0].Key)
		id = New(l, Config{Signer: where})
		net.Start()
		time.Sleep(time.Second)
		l.set(func(l *line) { l.hangs = -1 })
		node := net.Nodes[0]
		node.Learn(net.Nodes[1:]...)
		if took := net.AwaitPeers(node, others/2); took > 2*handshake.DefaultTimeout {
			t.Errorf("%d libp2p peers took %v", others/2, took)
		} else {
			t.Logf("%d libp2p peers took %v", others/2, took)
		}
		l.set(func(l *line) { l.hangs = 0 })
		net.AwaitPeers(node, others)
	})
}
