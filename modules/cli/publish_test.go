package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/host/admin"
)

// An item that is published at one node comes out of the other one's stream of items, over each wire.
func TestPublish(t *testing.T) {
	for _, wire := range []string{"comet", "libp2p"} {
		t.Run(wire, func(t *testing.T) {
			set := []string{"--set", "services.relay.enabled=true",
				"--set", `services.relay.topics=["a=0x50","b=0x51"]`, "--set", `stack.wires=["` + wire + `"]`}
			a := startNode(t, initHome(t, set...))
			to := a.address()
			if wire == "libp2p" {
				to = a.listens[0] + "/p2p/" + a.peerID
			}
			b := startNode(t, initHome(t, set...), "--set", "peers.persistent="+to)
			eventually(t, "the nodes are connected", func() bool {
				var peers []admin.Peer
				mustJSON(t, &peers, a.ask("peers", "--json")...)
				return len(peers) == 1
			})
			c, err := admin.NewClient(b.admin)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			follows, got := make(chan struct{}), make(chan admin.RelayEvent)
			go func() {
				_ = c.RelayEvents(ctx, "b", true, func() { close(follows) }, func(e admin.RelayEvent) error {
					got <- e
					return nil
				})
			}()
			<-follows
			file := filepath.Join(t.TempDir(), "item")
			item := bytes.Repeat([]byte("switchyard"), 1000)
			if err := os.WriteFile(file, item, 0o600); err != nil {
				t.Fatal(err)
			}
			var p admin.Published
			mustJSON(t, &p, a.ask("publish", "--file", file, "--topic", "b", "--wait", "10s", "--json")...)
			if p.Topic != "b" || p.Peers != 1 || p.Known || p.Bytes != len(item) || p.FetchedMS == nil {
				t.Errorf("%+v", p)
			}
			select {
			case e := <-got:
				if e.ID != p.ID || string(e.From) != a.id || !bytes.Equal(e.Item, item) {
					t.Errorf("%s from %s, %d bytes", e.ID, e.From, len(e.Item))
				}
			case <-ctx.Done():
				t.Fatal("the item did not come")
			}
			out := must(t, a.ask("publish", "--file", file, "--topic", "b")...)
			if !strings.Contains(out, "had it already") {
				t.Errorf("printed %q", out)
			}
			out = must(t, a.ask("publish", strings.Repeat("switchyard", 1000))...)
			if !strings.Contains(out, "(a, 10000 bytes): 1 peer gets it now") {
				t.Errorf("printed %q", out)
			}
			for _, n := range []struct {
				*node
				want string
			}{{a, `{outcome="published"} 2`}, {b, `{outcome="received"} 2`}, {b, `{outcome="rejected"} 0`}} {
				eventually(t, "the items are counted: "+n.want, func() bool {
					return strings.Contains(get(t, "http://"+n.admin+"/metrics"), "switchyard_relay_items_total"+n.want)
				})
			}
			for want, args := range map[string][]string{
				"there is a, b":   {"publish", "some text", "--topic", "c"},
				"no such file":    {"publish", "--file", file + "-not"},
				"want 0 to 1m":    {"publish", "text", "--wait", "2m"},
				"TEXT is missing": {"publish"},
				"not both":        {"publish", "text", "--file", file},
				"TEXT is empty":   {"publish", ""},
			} {
				if r := call(t, a.ask(args...)...); r.code == exitDone || !strings.Contains(r.err, want) {
					t.Errorf("%v: code %d, %q", args, r.code, r.err)
				}
			}
		})
	}
}
