package host_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// A peer that can be seen has been connected at some time: not even who looks in the moment in which it comes up sees
// it without one.
func TestPeerIsNeverSeenWithoutItsTime(t *testing.T) {
	inNet(t, hosttest.Options{Plain: true}, func(t *testing.T, net *hosttest.Network) {
		a, b := net.Nodes[0], net.Nodes[1]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			sub := a.Host.Subscribe(ctx)
			defer sub.Close()
			for {
				u, err := sub.Next(ctx)
				if err != nil {
					return
				}
				if info, ok := a.Host.Peer(u.ID); ok && u.Status == host.PeerUp && info.Connected.IsZero() {
					t.Error("a peer is up and was never connected")
				}
			}
		}()
		for range 100 {
			a.Dial(b)
			synctest.Wait()
			a.Host.Disconnect(b.Host.Self(), muxer.CodeRequested, "a test")
			net.AwaitNoLink(a, b)
			time.Sleep(10 * time.Second) // nobody takes many connections at a time of one IP
		}
		cancel()
		<-done
	})
}
