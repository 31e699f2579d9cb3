package hosttest_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

// A ban ends the link that there is, and holds over every wire and transport: of an IP before anything is read and any
// cryptography is done, of a node once its key is proven. Once it is lifted, all is well again.
func TestBansHoldOverAllWires(t *testing.T) {
	for _, w := range ways() {
		t.Run(w.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			asked := func(c *host.Config) { c.Peers.MaxOutbound = -1 } // they dial only when the test does
			server, client := w.node(t, true, asked), w.node(t, false, asked)
			dial := func(again bool) { // again and again, until the server takes it
				t.Helper()
				_, err := client.Dial(ctx, server.address(t))
				for again && err != nil && ctx.Err() == nil {
					_, err = client.Dial(ctx, server.address(t))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			type ban struct {
				target peerstore.Target
				early  bool
			}
			bans := []ban{{peerstore.Target{ID: client.Self()}, false}}
			if w.want[1] != "memory" { // which has no IP here
				bans = append(bans, ban{peerstore.Target{Prefix: netip.MustParsePrefix("127.0.0.1/32")}, true},
					ban{peerstore.Target{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, true})
			}
			dial(false)
			for _, b := range bans {
				updates, theirs := server.Subscribe(ctx), client.Subscribe(ctx)
				wantUpdate(t, ctx, updates, host.PeerUp)
				wantUpdate(t, ctx, theirs, host.PeerUp)
				events := server.Events(ctx)
				if err := server.PeerManager().Ban(b.target, time.Time{}, "a test"); err != nil {
					t.Fatal(err)
				}
				if why := wantUpdate(t, ctx, updates, host.PeerDown); why.Code != muxer.CodeBanned ||
					why.Reason != "a test" {
					t.Errorf("%v: the link ended for %v", b.target, why)
				}
				wantUpdate(t, ctx, theirs, host.PeerDown)
				if _, err := client.Dial(ctx, server.address(t)); err == nil {
					t.Errorf("%v: the banned node got in", b.target)
				}
				refused := false
				for e := range events { // which ends with ctx
					if refused = e.Kind == host.EventRefused; !refused {
						continue
					}
					if early := e.Stage == handshake.StageTransport; e.Reason.Code != muxer.CodeBanned ||
						early != b.early {
						t.Errorf("%v: refused at stage %q for %v", b.target, e.Stage, e.Reason)
					}
					break
				}
				if !refused {
					t.Fatalf("%v: nothing was refused", b.target)
				}
				updates.Close()
				theirs.Close()
				if was, err := server.PeerManager().Unban(b.target); !was || err != nil {
					t.Fatalf("%v: %v %v", b.target, was, err)
				}
				dial(w.want[1] == "quic") // there a refusal of an address stands for 20 ms
			}
		})
	}
}
