package host_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// A gate that asks somebody slow holds up the handshake that it is about, and no other. If it gets no answer, it
// refuses.
func TestAFilterMayBeSlow(t *testing.T) {
	for _, wire := range []string{"comet", "libp2p"} {
		var asked atomic.Int32
		o := hosttest.Options{Nodes: 4, Plain: true, Speaks: func(*hosttest.Node) []string { return []string{wire} },
			Tune: func(n *hosttest.Node, c *host.Config) {
				if n.Index > 0 {
					return
				}
				silent, slow := hosttest.AddressOf(n, 1).ID(), hosttest.AddressOf(n, 2).ID()
				c.Gates = []handshake.Gate{handshake.AskingGate(2*time.Second,
					func(ctx context.Context, v handshake.Visitor) error {
						asked.Add(1)
						if v.ID == "" || !v.IP.IsValid() {
							t.Errorf("asked about %+v", v)
						}
						switch v.ID {
						case silent:
							<-ctx.Done()
						case slow:
							time.Sleep(time.Second)
						}
						return nil
					})}
			}}
		inNet(t, o, func(t *testing.T, net *hosttest.Network) {
			a, events := net.Nodes[0], net.Nodes[0].Host.Events(t.Context())
			took := make([]time.Duration, 4)
			began := time.Now()
			for i, n := range net.Nodes[1:] {
				go func() {
					_, _ = n.Host.Dial(t.Context(), a.Address())
					took[i+1] = time.Since(began)
				}()
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if a.Has(net.Nodes[1]) || !a.Has(net.Nodes[2]) || !a.Has(net.Nodes[3]) {
				t.Errorf("over %s: %v", wire, a.Peers())
			}
			if took[3] > 500*time.Millisecond || took[2] > 1500*time.Millisecond || took[1] > 2500*time.Millisecond ||
				asked.Load() != 3 {
				t.Errorf("over %s: took %v, asked %d times", wire, took, asked.Load())
			}
			for e := range events {
				if e.Kind == host.EventRefused {
					if e.Reason.Code != muxer.CodeFiltered || !strings.Contains(e.Reason.Reason, "did not answer") {
						t.Errorf("over %s, refused with %v", wire, e.Reason)
					}
					break
				}
			}
			var why *handshake.Refusal
			if _, err := a.Host.Dial(t.Context(), net.Nodes[1].Address()); !errors.As(err, &why) {
				t.Errorf("over %s, dialed: %v", wire, err)
			}
		})
	}
}
