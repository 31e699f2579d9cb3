package host_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/host/peers"
)

// judge gives each node of a network a health, which gets its events, as that of the admin API does. It returns the
// health of a node's present run.
func judge(o *hosttest.Options) func(*hosttest.Node) *host.Health {
	of := map[*hosttest.Node]*host.Health{}
	o.Services = func(n *hosttest.Node) ([]hosttest.Service, error) {
		v, events := host.NewHealth(n.Host), n.Host.Events(context.Background()) // until Run returns
		of[n] = v
		return []hosttest.Service{func(context.Context) error {
			for e := range events {
				v.Note(&e)
			}
			return nil
		}}, nil
	}
	return func(n *hosttest.Node) *host.Health { return of[n] }
}

// finds checks that a health finds a code, after a while, with that severity and all texts.
func finds(t *testing.T, v *host.Health, after time.Duration, code string, g host.Grade, texts ...string) host.Finding {
	t.Helper()
	time.Sleep(after)
	found := v.Check(time.Now())
	for _, f := range found {
		if f.Code != code {
			continue
		}
		for _, text := range texts {
			if !strings.Contains(f.Text+" "+f.Remedy, text) {
				t.Errorf("%+v lacks %q", f, text)
			}
		}
		if f.Severity != g || f.Remedy == "" || f.Since.IsZero() || f.Since.After(time.Now()) {
			t.Errorf("%+v, want severity %s", f, g)
		}
		return f
	}
	t.Fatalf("%s is not found: %+v", code, found)
	return host.Finding{}
}

// findsNo checks that a health does not find a code, after a while.
func findsNo(t *testing.T, v *host.Health, after time.Duration, code string) {
	t.Helper()
	time.Sleep(after)
	for _, f := range v.Check(time.Now()) {
		if f.Code == code {
			t.Fatalf("it is found: %+v", f)
		}
	}
}

// Most outbound slots that stay free while many peers are known are found, but not those that are free for a moment.
func TestFewOutboundIsFound(t *testing.T) {
	o := hosttest.Options{Nodes: 30, Stopped: true, Plain: true, Patience: 4 * time.Hour}
	health := judge(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a, others := net.Nodes[0], net.Nodes[2:]
		a.Start()
		net.Nodes[1].Start()
		for _, n := range net.Nodes[1:] {
			a.Found("pex")(n.Address(), "")
		}
		net.AwaitLink(a, net.Nodes[1])
		v := health(a)
		findsNo(t, v, 4*time.Minute, host.FindingFewOutbound)
		finds(t, v, 2*time.Minute, host.FindingFewOutbound, host.GradeInfo, "1 of 8 outbound slots",
			"29 peers are known", "dials failed")
		for _, n := range others {
			n.Start()
		}
		for _, slots := range []int{4, 8} {
			net.Await(fmt.Sprint(slots, " outbound links"), func() string {
				if c := a.Host.PeerManager().Counts(); c.Outbound < slots {
					return fmt.Sprintf("%+v", c)
				}
				return ""
			})
			findsNo(t, v, 0, host.FindingFewOutbound)
		}
		findsNo(t, v, time.Hour, host.FindingFewOutbound)

		for _, n := range others {
			n.Stop()
		}
		at := time.Now()
		findsNo(t, v, time.Minute, host.FindingFewOutbound)
		f := finds(t, v, 5*time.Minute, host.FindingFewOutbound, host.GradeInfo)
		if f.Since.Sub(at).Abs() > time.Minute {
			t.Errorf("since %v, want %v", f.Since, at)
		}
	})
}

// A node that nobody dials is told so, with what its address is good for. A connection that is refused shows that it is
// reached, and so does an inbound link until its end.
func TestNoInboundIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		ip       func(int) netip.Addr
		severity host.Grade
		text     string
	}{
		"public": {nil, host.GradeWarn, "open or forward the ports"},
		"private": {func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i), 0, 1}) }, host.GradeInfo,
			"own network"},
	} {
		t.Run(name, func(t *testing.T) {
			o := hosttest.Options{Nodes: 4, IP: c.ip, Tune: func(n *hosttest.Node, c *host.Config) {
				if n.Index == 3 {
					c.Network = "elsewhere"
				}
			}}
			health := judge(&o)
			inNet(t, o, func(t *testing.T, net *hosttest.Network) {
				a, b, guest, strange := net.Nodes[0], net.Nodes[1], net.Nodes[2], net.Nodes[3]
				a.Dial(b)
				v := health(a)
				findsNo(t, v, 9*time.Minute, host.FindingNoInbound)
				finds(t, v, 2*time.Minute, host.FindingNoInbound, c.severity, c.text)
				findsNo(t, health(b), 0, host.FindingNoInbound)
				a.Host.Reach.Set(host.ReachabilityPublic)
				findsNo(t, v, time.Minute, host.FindingNoInbound)
				a.Host.Reach.Set(host.ReachabilityPrivate)
				finds(t, v, 0, host.FindingNoInbound, host.GradeWarn, "open or forward the ports")
				a.Host.Reach.Set(host.ReachabilityUnknown)
				finds(t, v, 0, host.FindingNoInbound, c.severity, c.text)

				if _, err := strange.Host.Dial(t.Context(), a.Address()); err == nil {
					t.Error("another network is not refused")
				}
				findsNo(t, v, time.Second, host.FindingNoInbound)
				finds(t, v, 10*time.Minute, host.FindingNoInbound, c.severity, c.text)

				guest.Dial(a)
				findsNo(t, v, time.Hour, host.FindingNoInbound)
				guest.Stop()
				net.AwaitNoLink(a, guest)
				left := time.Now()
				findsNo(t, v, 9*time.Minute, host.FindingNoInbound)
				f := finds(t, v, 2*time.Minute, host.FindingNoInbound, c.severity, c.text)
				if f.Since.Sub(left).Abs() > time.Minute {
					t.Errorf("since %v, want %v", f.Since, left)
				}
			})
		})
	}
}

// A node that takes nobody in, or is alone, is not told that nobody comes.
func TestNoInboundIsNotFoundWhereNoneIsWanted(t *testing.T) {
	o := hosttest.Options{Nodes: 2, Tune: func(n *hosttest.Node, c *host.Config) {
		if n.Index == 0 {
			c.Peers.MaxInbound = -1
		}
	}}
	health := judge(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		findsNo(t, health(a), time.Hour, host.FindingNoInbound)
		a.Stop()
		findsNo(t, health(b), time.Hour, host.FindingNoInbound)
	})
}

// Inbound slots that are nearly all taken are found, until one is free.
func TestFullSlotsAreFound(t *testing.T) {
	o := hosttest.Options{Nodes: 12, Stopped: true, Plain: true, Tune: func(n *hosttest.Node, c *host.Config) {
		if n.Index == 0 {
			c.Peers = peers.Config{Seed: 1, MaxInbound: 10, MaxOutbound: -1}
		}
	}}
	health := judge(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a := net.Nodes[0]
		a.Start()
		v := health(a)
		for i, n := range net.Nodes[1:10] {
			findsNo(t, v, 0, host.FindingNearLimit)
			n.Start()
			n.Dial(a)
			net.AwaitPeers(a, i+1)
		}
		finds(t, v, 0, host.FindingNearLimit, host.GradeInfo, "9 of 10 inbound slots", "0 connections were refused",
			"peers.max_inbound")
		for _, n := range net.Nodes[10:] {
			n.Start()
			_, _ = n.Host.Dial(t.Context(), a.Address())
		}
		finds(t, v, time.Second, host.FindingNearLimit, host.GradeInfo, "10 of 10 inbound slots",
			"1 connections were refused")
		for _, n := range net.Nodes[1:4] {
			n.Stop()
		}
		net.AwaitPeers(a, 7)
		findsNo(t, v, time.Minute, host.FindingNearLimit)
	})
}

// A service that receives nothing fills the memory of messages, which is found while it lasts: with one peer, which may
// fill three quarters of it, and with several.
func TestFullMemoryIsFound(t *testing.T) {
	for _, senders := range []int{1, 5} {
		t.Run(fmt.Sprint(senders), func(t *testing.T) {
			o := hosttest.Options{Nodes: senders + 1, Tune: func(n *hosttest.Node, c *host.Config) {
				if n.Index == 0 {
					c.Limits.MessageMemory = 256 << 10
				}
			}}
			health := judge(&o)
			inNet(t, o, func(t *testing.T, net *hosttest.Network) {
				a := net.Nodes[0]
				v := health(a)
				for _, n := range net.Nodes[1:] {
					n.Dial(a)
				}
				findsNo(t, v, time.Second, host.FindingNearLimit)
				for range 400 { // of 1 KiB: more than there is room for
					for _, n := range net.Nodes[1:] {
						n.Channels[0].TrySend(a.ID, make([]byte, 1024))
					}
					time.Sleep(10 * time.Millisecond)
				}
				finds(t, v, time.Second, host.FindingNearLimit, host.GradeWarn, "of 262144 bytes",
					"limits.message_memory")
				a.Collect(hosttest.TestChannel)
				findsNo(t, v, time.Minute, host.FindingNearLimit)
			})
		})
	}
}

// A store that cannot write is found until it can.
func TestFailingStoreIsFound(t *testing.T) {
	var o hosttest.Options
	health := judge(&o)
	inNet(t, o, func(t *testing.T, net *hosttest.Network) {
		a := net.Nodes[0]
		a.Dial(net.Nodes[1])
		store, v := a.Store.(interface{ SetFailing(error) }), health(a) // as the engine of a store on disk does
		findsNo(t, v, time.Minute, host.FindingStoreFailing)
		store.SetFailing(errors.New("no space left on device"))
		at := time.Now()
		finds(t, v, 0, host.FindingStoreFailing, host.GradeBad, "no space left on device",
			"bans are at risk")
		store.SetFailing(errors.New("input/output error"))
		f := finds(t, v, time.Minute, host.FindingStoreFailing, host.GradeBad, "input/output error")
		if first := v.Check(time.Now())[0]; !f.Since.Equal(at) || first.Code != host.FindingStoreFailing {
			t.Errorf("%+v, want it first, since %v", first, at)
		}
		store.SetFailing(nil)
		findsNo(t, v, 0, host.FindingStoreFailing)
	})
}
