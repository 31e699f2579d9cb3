package host_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// A host that is stopped sends what is queued, tells its peers by hanging up, and its Run returns when nothing of it is
// left: at once where peers listen, and within a second or two of whatever hangs.
func TestStoppingIsQuickCleanAndHeard(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 8, KnowFirst: true, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
		a, others := net.Nodes[0], net.Nodes[1:]
		for _, o := range others {
			net.AwaitLink(a, o)
			o.Collect(hosttest.TestChannel)
		}
		for i := range 200 {
			for _, o := range others {
				if err := a.Channels[0].Send(t.Context(), o.ID, hosttest.Numbered(i, 1000)); err != nil {
					t.Fatal(err)
				}
			}
		}
		began := time.Now()
		a.Stop()
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("it took %v to stop", took)
		}
		for _, o := range others {
			u := net.AwaitUpdate(o, a, host.PeerDown, 0)
			if !u.Reason.Remote || u.Reason.Code != muxer.CodeRemoteClosed && u.Reason.Code != muxer.CodeShuttingDown ||
				u.At.Sub(began) > 100*time.Millisecond {
				t.Errorf("%s heard after %v: %v", o.Name, u.At.Sub(began), u.Reason)
			}
			hosttest.AssertNumbered(t, net.AwaitMessages(o, hosttest.TestChannel, a, 200), 0, 1000)
		}
		for _, e := range a.Events(host.EventDown) {
			if e.Reason.Code != muxer.CodeShuttingDown || e.Reason.Remote {
				t.Errorf("our own reason for the end of a link is %v", e.Reason)
			}
		}
		if downs := len(a.Events(host.EventDown)); downs != len(others) {
			t.Errorf("%d links ended, want %d", downs, len(others))
		}
		net.AssertTruth()
	})
}

// Stopping ends whatever is under way: handshakes either way, dials, full send queues, paused links, services that
// wait.
func TestStoppingEndsWhateverHangs(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 8, KnowFirst: true, Conditions: wan,
		Channels: []muxer.Channel{{ID: slow, SendQueue: 10_000, ReceiveQueue: 10_000}},
		Tune:     func(n *hosttest.Node, c *host.Config) { c.Limits.PeerOverflow = 10_000 },
	}, func(t *testing.T, net *hosttest.Network) {
		a, full, floods, cut := net.Nodes[0], net.Nodes[1], net.Nodes[2], net.Nodes[3]
		for _, n := range []*hosttest.Node{full, floods, cut} {
			net.AwaitLink(a, n)
		}
		var wg sync.WaitGroup
		flood := func(from, to *hosttest.Node) {
			wg.Go(func() {
				for i := 0; ; i++ {
					if err := from.Channels[0].Send(context.Background(), to.ID,
						hosttest.Numbered(i, 5000)); err != nil {
						return
					}
				}
			})
		}
		net.Between(a, cut, memory.Conditions{Down: true})
		flood(a, full)   // nobody receives: the send queue is full
		flood(floods, a) // nobody receives: the link is paused
		flood(a, cut)    // nothing arrives
		away := net.Add()
		net.Between(a, away, memory.Conditions{Down: true})
		a.Learn(away) // a dial that hangs
		mute := net.Add()
		mute.Stop()
		stop := silentListener(t, mute)
		a.Learn(mute)                                                              // a handshake that hangs
		raw, err := net.Add().Machine().Dial(t.Context(), a.Address().Multiaddr()) // one the other way
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { // a service that waits
			if _, err := a.Channels[0].Receive(context.Background()); err != nil && !errors.Is(err, host.ErrStopped) {
				t.Errorf("Receive: %v", err)
			}
			sub := a.Host.Subscribe(context.Background())
			sub.Close()
			if _, err := sub.Next(context.Background()); !errors.Is(err, host.ErrStopped) {
				t.Errorf("Next of a closed subscription: %v", err)
			}
		})
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		a.Stop()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %v to stop", took)
		} else {
			t.Logf("it took %v to stop", took)
		}
		net.AwaitNoPeers(full)
		net.AwaitNoPeers(floods)
		stop()
		_ = raw.Close()
		cut.Stop()
		wg.Wait() // no sender is left waiting
	})
}

// An error of Accept that may pass ends no accept loop, and does not make it spin.
func TestAnAcceptThatFailsIsTriedAgain(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 9, KnowFirst: true, Stopped: true, Conditions: wan,
		Tune: func(n *hosttest.Node, c *host.Config) {
			if n.Index == 0 {
				c.Peers.MaxOutbound = -1 // it only accepts
			}
		},
	}, func(t *testing.T, net *hosttest.Network) {
		a, others := net.Nodes[0], net.Nodes[1:]
		var asked atomic.Int64
		down := atomic.Bool{}
		a.Faults.Accept = func() error {
			if n := asked.Add(1); down.Load() || n%2 == 0 {
				return fmt.Errorf("accept: %w", syscall.EMFILE)
			}
			return nil
		}
		net.Start()
		for _, o := range others {
			net.AwaitLink(a, o)
		}
		if took := net.Since(); took > 5*time.Second {
			t.Errorf("it took %v until all were up", took)
		}
		down.Store(true) // for good, as when there are no file descriptors; one Accept is under way
		others[1].Restart()
		net.AwaitLink(a, others[1])
		others[0].Restart()
		before := asked.Load()
		time.Sleep(10 * time.Second)
		if n := asked.Load() - before; n > 300 {
			t.Errorf("Accept was called %d times within 10 s of failing", n)
		}
		net.AssertNoPeer(a, others[0], 0)
		down.Store(false)
		net.AwaitLink(a, others[0])
		net.AssertTruth()
	})
}

// What happens to connections is told as it happens, to each watcher; one that lags loses events and delays nobody; the
// channel is closed when the watcher's context or the host ends.
func TestEventsTellWhatHappens(t *testing.T) {
	inNet(t, hosttest.Options{Nodes: 4, KnowFirst: true, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
		a, b, off := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		ctx, cancel := context.WithCancel(t.Context())
		watch := a.Host.Events(ctx)
		lags := a.Host.Events(t.Context())
		net.AwaitLink(a, b)
		off.Stop()
		net.AwaitNoLink(a, off)
		if err := hostDial(t, a, off.Address()); err == nil {
			t.Fatal("dialed a node that does not run")
		}
		synctest.Wait()
		cancel()
		var got []string
		for e := range watch {
			got = append(got, fmt.Sprintf("%s %v %s", e.Kind, e.Inbound, net.NameOf(e.ID)))
			if e.Time.IsZero() || e.Address == "" || e.Kind != host.EventUp && e.Reason == nil {
				t.Errorf("an event lacks something: %+v", e)
			}
			if e.Kind == host.EventDialFailed &&
				(e.Stage != "transport" || !errors.Is(e.Reason, syscall.ECONNREFUSED)) {
				t.Errorf("the failed dial was in stage %q: %v", e.Stage, e.Reason)
			}
		}
		for _, want := range []string{"peer-up true node 1", "peer-up true node 2", "peer-up true node 3",
			"peer-down true node 2", "dial-failed false node 2"} {
			found := 0
			for _, g := range got {
				if g == want {
					found++
				}
			}
			if found != 1 {
				t.Errorf("heard %q %d times, in %v", want, found, got)
			}
		}

		for range 300 { // more than a watcher may lag
			_ = hostDial(t, a, off.Address())
		}
		net.AwaitLink(a, b)
		var watchers []<-chan host.Event
		for range 100 {
			watchers = append(watchers, a.Host.Events(t.Context()))
		}
		closed := 0
		for _, w := range watchers {
			select {
			case _, ok := <-w:
				if !ok {
					closed++
				}
			default:
			}
		}
		if closed != 100-64+2 { // the recorder of the network and the one that lags are two of the 64
			t.Errorf("%d of 100 watchers were turned away", closed)
		}
		a.Stop()
		n := 0
		for range lags { // ends: it was closed
			n++
		}
		if n != 256 {
			t.Errorf("the watcher that lagged has %d events", n)
		}
		if _, ok := <-a.Host.Events(t.Context()); ok {
			t.Error("an event of a host that has stopped")
		}
	})
}

func hostDial(t *testing.T, n *hosttest.Node, addr transport.Address) error {
	_, err := n.Host.Dial(t.Context(), addr)
	return err
}

// Five hundred connections that say nothing do not delay a real peer, whether they come from as many IPs or from few,
// and they are gone when their time is over.
func TestSilentConnectionsDelayNobody(t *testing.T) {
	for _, c := range []struct {
		name string
		ips  int
	}{{"500 IPs", 500}, {"10 IPs", 10}} {
		t.Run(c.name, func(t *testing.T) {
			inNet(t, hosttest.Options{Nodes: 3, Conditions: wan}, func(t *testing.T, net *hosttest.Network) {
				a, before, after := net.Nodes[0], net.Nodes[1], net.Nodes[2]
				began := time.Now()
				before.Dial(a)
				without := time.Since(began)
				machines := make([]*memory.Transport, c.ips)
				for i := range machines {
					machines[i] = net.Memory().NewTransport(memory.HostConfig{IP: netip.AddrFrom4([4]byte{90,
						byte(i >> 8), byte(i), 1})})
				}
				var open []transport.Conn
				for i := range 500 {
					raw, err := machines[i%c.ips].Dial(t.Context(), a.Address().Multiaddr())
					if err != nil {
						t.Fatal(err)
					}
					open = append(open, raw)
					if i%100 == 99 {
						synctest.Wait()
					}
				}
				began = time.Now()
				after.Dial(a)
				with := time.Since(began)
				t.Logf("a dial took %v without and %v with the silent connections", without, with)
				if with > without+100*time.Millisecond {
					t.Error("that is too long")
				}
				time.Sleep(6 * time.Second)
				refused := 0
				for _, e := range a.Events(host.EventRefused) {
					if e.Reason.Code == muxer.CodeTimeout {
						refused++
					}
				}
				if refused < 256 { // the record of events is as lossy as any watcher
					t.Errorf("%d silent connections were ended for their silence", refused)
				}
				for _, raw := range open {
					_ = raw.Close()
				}
				net.AssertNoFlap(a, before)
				net.AssertTruth()
			})
		})
	}
}

// Between our own nodes the reason of an end arrives whole over libp2p, too.
func TestTheRemoteHearsTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := hosttest.New(t, hosttest.Options{Speaks: libp2pOnly, Conditions: wan,
			Tune: func(_ *hosttest.Node, c *host.Config) { c.Peers.MaxOutbound = -1 }})
		a, b := net.Nodes[0], net.Nodes[1]
		a.Dial(b)
		net.AwaitLink(a, b)
		a.Host.Disconnect(b.ID, muxer.CodeMisbehaved, "it sent nonsense")
		down := net.AwaitUpdate(b, a, host.PeerDown, 0)
		if r := down.Reason; r.Code != muxer.CodeMisbehaved || r.Reason != "it sent nonsense" || !r.Remote {
			t.Errorf("the remote heard %+v", r)
		}
	})
}
