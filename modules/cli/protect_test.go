package cli

import (
	"strings"
	"syscall"
	"testing"
)

// TestProtect gives a peer a role at run time, which a restart keeps.
func TestProtect(t *testing.T) {
	home := initHome(t)
	n := startNode(t, home)
	must(t, n.ask("protect", someID+"@127.0.0.1:1", "--trusted", "--private")...)
	role := func(n *node) string {
		var list []struct {
			NodeID                          string `json:"node_id"`
			Trusted, Unconditional, Private bool
		}
		if err := jsonInto(get(t, "http://"+n.admin+"/v1/store"), &list); err != nil {
			t.Fatal(err)
		}
		for _, p := range list {
			if p.NodeID == someID && p.Trusted && p.Private && !p.Unconditional {
				return "trusted and private"
			}
		}
		return ""
	}
	if role(n) == "" {
		t.Error("the role is not in the store")
	}
	oneLine(t, call(t, n.ask("protect", n.address())...), exitFailed, "self: that is our own address")
	oneLine(t, call(t, n.ask("protect", strings.Repeat("7", 40))...), exitFailed, "no address of it is known")
	must(t, n.ask("ban", strings.Repeat("6", 40), "--reason", "spam")...)
	oneLine(t, call(t, n.ask("protect", strings.Repeat("6", 40)+"@127.0.0.1:1")...), exitFailed, "banned: spam")
	oneLine(t, call(t, n.ask("protect", strings.Repeat("5", 40)+"@224.0.0.1:1")...), exitFailed, "multicast")
	n.stop(syscall.SIGTERM)
	n = startNode(t, home)
	if role(n) == "" {
		t.Error("a restart has lost the role")
	}
	must(t, n.ask("protect", someID, "--off")...)
	if role(n) != "" {
		t.Error("the role is still there")
	}
}
