package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/internal/programtest"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/services"
	"github.com/switchyard-p2p/switchyard/transport"
)

var builds programtest.Builds

func TestMain(m *testing.M) {
	code := m.Run()
	builds.Remove()
	os.Exit(code)
}

// eventually asks again until ok, for a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// newNode makes the folder of a node that speaks libp2p's wire alone, over TCP.
func newNode(t *testing.T, program, name string, sets ...string) *programtest.NodeDir {
	t.Helper()
	args := []string{"--listen", "/ip4/127.0.0.1/tcp/0"}
	for _, set := range append(sets, `stack.wires=["libp2p"]`, `stack.transports=["tcp"]`) {
		args = append(args, "--set", set)
	}
	return programtest.NewNodeDir(t, program, "libp2p-programs", name, args...)
}

// addressOf is where a node is dialed over libp2p's wire.
func addressOf(d *programtest.NodeDir) string { return d.Listen["tcp"].String() + "/p2p/" + d.PeerID }

// call runs the program on a node, which must succeed.
func call(t *testing.T, d *programtest.NodeDir, args ...string) string {
	t.Helper()
	r := programtest.Call(t, d.Program, append(args, "--home", d.Home)...)
	if r.Code != 0 || r.Err != "" {
		t.Fatalf("%v: code %d, %s%s", args, r.Code, r.Out, r.Err)
	}
	return r.Out
}

// Two programs publish to each other and receive.
func TestPubSub(t *testing.T) {
	program := builds.Get(t, "../..", "./cmd/switchyard-libp2p")
	a := newNode(t, program, "anna", "services.pubsub.enabled=true", `services.pubsub.topics=["news"]`)
	b := newNode(t, program, "bert", "services.pubsub.enabled=true")
	running := []*programtest.Process{a.Start(t)}
	running = append(running, b.Start(t, fmt.Sprintf("peers.persistent=[%q]", addressOf(a))))

	reader := programtest.Launch(t, program, "pubsub", "subscribe", "news", "--count", "2", "--json", "--home", b.Home)
	eventually(t, "anna knows that bert is in the topic", func() bool {
		peers := programtest.Ask[[]services.PeerName](t, program, "pubsub", "peers", "--topic", "news", "--json",
			"--home", a.Home)
		return slices.Contains(peers, services.PeerName{NodeID: nodeID(b), PeerID: b.PeerID})
	})
	published := programtest.Ask[services.Published](t, program, "pubsub", "publish", "news", "good <news>", "--json",
		"--home", a.Home)
	if published.Topic != "news" || published.Bytes != 11 || published.Peers != 1 || published.ID == "" {
		t.Errorf("published %+v", published)
	}
	if out := call(t, b, "pubsub", "publish", "news", "from bert"); !strings.Contains(out, "(9 bytes): 1 peers") {
		t.Errorf("publish prints %q", out)
	}
	<-reader.Done
	if reader.Code() != 0 {
		t.Fatalf("subscribe ended with %d: %s", reader.Code(), reader.Tail())
	}
	got := map[string]services.Message{}
	for _, line := range reader.Lines() {
		var m services.Message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		got[string(m.Data)] = m
	}
	if m := got["good <news>"]; m.ID != published.ID || m.From.PeerID != a.PeerID || m.Via.PeerID != a.PeerID {
		t.Errorf("bert got %+v", got)
	}
	if m := got["from bert"]; m.From.PeerID != b.PeerID || m.Via.PeerID != b.PeerID || len(got) != 2 {
		t.Errorf("bert got %+v", got)
	}

	topics := programtest.Ask[[]services.TopicInfo](t, program, "pubsub", "topics", "--json", "--home", a.Home)
	if len(topics) != 1 || topics[0].Topic != "news" || !topics[0].Subscribed {
		t.Errorf("topics: %+v", topics)
	}
	if out := call(t, b, "pubsub", "topics"); !strings.Contains(out, "news  publishes") {
		t.Errorf("bert has not left the topic: %q", out)
	}
	for _, bad := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"pubsub", "publish", "", "x"}, 2, "the name of the topic is empty"},
		{[]string{"pubsub", "publish", "news"}, 2, "TEXT|- is missing"},
		{[]string{"pubsub", "subscribe", "news", "--count", "-1"}, 2, "--count -1"},
		{[]string{"dht", "status"}, 1, "set services.dht.enabled = true"},
		{[]string{"dht", "find-peer", "x"}, 2, "is no peer id"},
	} {
		r := programtest.Call(t, program, append(bad.args, "--home", a.Home)...)
		if r.Code != bad.code || !strings.Contains(r.Err, bad.err) {
			t.Errorf("%v: code %d, %s%s", bad.args, r.Code, r.Out, r.Err)
		}
	}
	for _, p := range running {
		p.Stop(t)
	}
}

// Five programs know the first one alone. One finds another by its id, who has something, and a value.
func TestDHT(t *testing.T) {
	program := builds.Get(t, "../..", "./cmd/switchyard-libp2p")
	var nodes []*programtest.NodeDir
	var running []*programtest.Process
	for i := range 5 {
		sets := []string{"services.dht.enabled=true", `discovery=[{use="dht",every="1s"}]`}
		if i > 0 {
			sets = append(sets, fmt.Sprintf("peers.bootstrap=[%q]", addressOf(nodes[0])))
		}
		d := newNode(t, program, fmt.Sprint("node", i), sets...)
		nodes, running = append(nodes, d), append(running, d.Start(t))
	}
	first, last := nodes[1], nodes[4]
	eventually(t, "all are in the first one's table", func() bool {
		return programtest.Ask[services.DHTStatus](t, program, "dht", "status", "--json", "--home", nodes[0].Home).
			Peers == 4
	})
	found := programtest.Ask[services.PeerAddresses](t, program, "dht", "find-peer", last.PeerID, "--json",
		"--home", first.Home)
	if found.PeerID != last.PeerID || len(found.Addresses) == 0 {
		t.Errorf("found %+v", found)
	}
	key := strings.TrimSpace(call(t, nodes[2], "dht", "provide", "a thing"))
	has := programtest.Ask[[]services.PeerAddresses](t, program, "dht", "find-providers", key, "--count", "1", "--json",
		"--home", nodes[3].Home)
	if len(has) != 1 || has[0].PeerID != nodes[2].PeerID {
		t.Errorf("providers: %+v", has)
	}
	at := strings.TrimSpace(call(t, first, "dht", "put", "a value"))
	if at != services.HashKey([]byte("a value")) {
		t.Errorf("the key is %s", at)
	}
	if out := call(t, last, "dht", "get", at); out != "a value" {
		t.Errorf("the value is %q", out)
	}
	if r := programtest.Call(t, program, "dht", "get", services.HashKey(nil), "--home", last.Home); r.Code != 1 ||
		!strings.Contains(r.Err, "not found in the table") {
		t.Errorf("a value that nobody has: %d %s", r.Code, r.Err)
	}
	eventually(t, "the first one has all in its table", func() bool {
		list := programtest.Ask[[]services.PeerName](t, program, "dht", "peers", "--json", "--home", first.Home)
		return len(list) == 4
	})
	for _, p := range running {
		p.Stop(t)
	}
	r := programtest.Call(t, program, "start", "--home", first.Home, "--set", "services.dht.enabled=false")
	if r.Code != 1 || !strings.Contains(r.Err, "services.dht.enabled = true") {
		t.Errorf("the source without its service: %d %s", r.Code, r.Err)
	}
}

// A node whose signer does not sign pubsub messages does not start, and says why.
func TestSigner(t *testing.T) {
	program := builds.Get(t, "../..", "./cmd/switchyard-libp2p")
	keys, d := newNode(t, program, "keys"), newNode(t, program, "signed", "services.pubsub.enabled=true")
	socket := "unix://" + t.TempDir() + "/signer/s.sock"
	start := func(allow ...string) *programtest.Process {
		return programtest.Launch(t, program,
			append([]string{"signer", "--home", keys.Home, "--listen", socket}, allow...)...)
	}
	mean := start()
	r := programtest.Call(t, program, "start", "--home", d.Home, "--set", "identity.signer="+socket)
	if r.Code != 1 || !strings.Contains(r.Err, "--allow pubsub") {
		t.Errorf("with a signer that refuses: %d %s%s", r.Code, r.Out, r.Err)
	}
	mean.Stop(t)
	kind := start("--allow", "pubsub")
	d.Identity = keys.Identity
	node := d.Start(t, "identity.signer="+socket)
	if out := call(t, d, "pubsub", "publish", "t", "x"); !strings.Contains(out, "(1 bytes)") {
		t.Errorf("publish prints %q", out)
	}
	node.Stop(t)
	kind.Stop(t)
}

func nodeID(d *programtest.NodeDir) transport.NodeID { return transport.NodeID(d.NodeID) }
