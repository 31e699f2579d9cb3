package live

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// nodeOf is a node with count peers, whose monikers are as bad as they can be.
func nodeOf(count int) Node {
	n := Node{Heard: noon, ID: strings.Repeat("57f2655e49", 4),
		PeerID:  "12D3KooWRU4oY1VVpT2ij5Zg8R5sG6rBFbRk5h3Q8nKcR1xqJ9aB",
		Moniker: "node-1", Network: "my-net", Version: "switchyard/v0.2.0", Since: noon.Add(-76 * time.Hour),
		Listen: []string{"/ip4/0.0.0.0/tcp/26656", "/ip4/0.0.0.0/udp/26656/quic-v1"}, MaxIn: 40, MaxOut: 8, Trusted: 1,
		Guests: 1, Receive: 41_000, Send: 12_400, Known: 1204, Tried: 804, New: 400, Banned: 2, Quarantined: 7, Down: 1,
		Dials: 12, Failed: 3, Refused: 1, Raw: map[string]int{"peers": count},
		Findings: []Finding{{"warn", "few outbound links: 5 of 8", "wait, or add peers.bootstrap"},
			{"info", "guests: 1", ""}},
		Away: []Away{{"7e8f7e8f7e8f7e8f", "down", "3 dials failed: connection refused; next try in 8 s"},
			{"57a157a157a157a1", "quarantine", "it is of network \"other\"\u202e"}},
		Events: []Line{{noon.Add(-9 * time.Second), LineComet, "peer up: node-2"},
			{noon.Add(-4 * time.Second), LineDown, "refused: too-many-peers \x1b[2J\u202ereversed"}}}
	monikers := []string{"validator-7", "东京都庁舎ノード", "🚂 Switchyard 🚃", "\u202egnp.exe\u2066",
		"evil\x1b[2J\x1b]0;x\a",
		"z\u200ba\u200bl\u0301\u0301\u0301\u0301go", strings.Repeat("long ", 60), ""}
	for i := range count {
		p := Peer{ID: fmt.Sprintf("%08x%032x", 0x1d00d+i*0x3039, i), Moniker: monikers[i%len(monikers)],
			Kept: []string{"persistent", "most uptime", "inbound: there is room"}[i%3],
			Wire: []Wire{Comet, TCP, QUIC}[i%3], Inbound: i%4 == 1, Trusted: i == 0, Guest: i == 4,
			Since: noon.Add(-time.Duration(i*i+1) * time.Minute), RTT: time.Duration(i*700) * time.Microsecond,
			In: float64(i * 900), Out: float64(i * 400), Score: 3 - i,
			Address: fmt.Sprintf("/ip4/10.0.0.%d/tcp/26656", i)}
		p.Details = [][2]string{{"node id", p.ID}, {"moniker", p.Moniker}, {"address", p.Address},
			{"kept because", p.Kept}}
		n.Peers = append(n.Peers, p)
		if n.Outbound++; p.Inbound {
			n.Outbound--
			n.Inbound++
		}
	}
	for i := range 50 {
		n.Trend = append(n.Trend, float64(i*7%13))
	}
	return n
}

var nodeLooks = append(looks, Look{Width: 80, Height: 24, ASCII: true}, Look{Width: minWidth, Height: minHeight})

func TestPeersFrames(t *testing.T) {
	for _, l := range nodeLooks {
		s := NewPeers("switchyard")
		s.Tick(noon.Add(time.Second))
		frame(t, s, l)
		s.Set(nodeOf(8))
		golden(t, "peers-"+size(l), frame(t, s, l))
		s.Key("down")
		s.Key("enter")
		golden(t, "peers-detail-"+size(l), frame(t, s, l))
		s.Key("b")
		frame(t, s, l)
		s.Key("n")
		s.Key("esc")
		s.Set(nodeOf(500))
		golden(t, "peers-500-"+size(l), frame(t, s, l))
	}
	s := NewPeers("switchyard")
	s.Set(nodeOf(8))
	s.Tick(noon)
	golden(t, "peers-last", s.Last(Look{Width: 100, Height: 24}))
	golden(t, "peers-line", []string{s.Line()})
}

func TestStatusFrames(t *testing.T) {
	for _, l := range nodeLooks {
		s := NewStatus("switchyard")
		s.Tick(noon)
		s.Set(nodeOf(8))
		golden(t, "status-"+size(l), frame(t, s, l))
	}
	s := NewStatus("switchyard")
	s.Tick(noon)
	s.Set(nodeOf(8))
	golden(t, "status-last", s.Last(looks[0]))
}

// A node that says nothing, or does not answer: the header says so, for how long and why, and the rows are dim.
func TestSilence(t *testing.T) {
	s := NewPeers("switchyard")
	s.Set(nodeOf(8))
	s.Tick(noon.Add(11 * time.Second))
	if lines := frame(t, s, looks[0]); strings.Contains(lines[1], "no word") {
		t.Errorf("too early: %s", lines[1])
	}
	s.Tick(noon.Add(12 * time.Second))
	lines := frame(t, s, looks[0])
	if !strings.Contains(ansi.Strip(lines[1]), "no word for 12 s") {
		t.Errorf("header: %s", lines[1])
	}
	for _, line := range lines[3:10] {
		if dimmed(line) != line {
			t.Errorf("not dim: %q", line)
		}
	}
	golden(t, "peers-stale-80x24", lines)
	n := nodeOf(8)
	n.Trouble = "node stopped: connection refused"
	s.Set(n)
	s.Tick(noon.Add(time.Second))
	want := "no word for 1 s: node stopped: connection refused"
	if lines := frame(t, s, looks[0]); !strings.Contains(lines[1], want) {
		t.Errorf("header: %s", lines[1])
	}
	if line := s.Line(); !strings.Contains(line, "node stopped") {
		t.Errorf("line: %s", line)
	}
}

func TestPeersKeys(t *testing.T) {
	s := NewPeers("switchyard")
	s.Set(nodeOf(8))
	s.Tick(noon)
	first, _ := s.peers()
	s.Key("down")
	if got := s.Key("d"); got != nil || s.input.question == "" {
		t.Fatalf("d: %v, question %q", got, s.input.question)
	}
	if got := s.Key("n"); got != nil {
		t.Errorf("n: %v", got)
	}
	s.Key("b")
	if got := s.Key("y"); got != (Ban{first[1].ID, time.Hour}) {
		t.Errorf("b, y: %v", got)
	}
	// The choice stays with its peer while others come and go, and rows are sorted in another way.
	s.Key("s")
	s.Key("S")
	few := nodeOf(8)
	few.Peers = few.Peers[1:]
	s.Set(few)
	if got := s.chosen(); got.ID != first[1].ID {
		t.Errorf("chosen: %s", got.ID)
	}
	// A paused screen keeps what it shows.
	s.Key("p")
	s.Set(nodeOf(3))
	if n := len(s.data.Peers); n != 7 {
		t.Errorf("paused: %d peers", n)
	}
	s.Key("p")
	if n := len(s.data.Peers); n != 3 {
		t.Errorf("resumed: %d peers", n)
	}
	for _, k := range []string{"/", "v", "a", "l", "q", "backspace", "enter"} { // q is a letter here
		if got := s.Key(k); got != nil {
			t.Errorf("%s: %v", k, got)
		}
	}
	if peers, _ := s.peers(); len(peers) != 1 || s.input.filter != "val" {
		t.Errorf("filter %q leaves %d", s.input.filter, len(peers))
	}
	s.Key("esc")
	if got := s.Key("q"); got != (Quit{}) {
		t.Errorf("q: %v", got)
	}
}

func TestCrawlFrames(t *testing.T) {
	c := Crawl{Network: "cosmoshub-4", Now: noon, Elapsed: 72 * time.Second, Limit: 10 * time.Minute, Dials: 1204,
		Budget: 5000, Dialing: 28, Workers: 32, Waiting: 311, Nodes: 840, Reachable: 402, SeenOnly: 311, Refused: 61,
		Other: 12, Dead: 54, Edges: 18_244, Wires: Wires{Comet: 390, TCP: 8, QUIC: 4}, Note: "1 dial per /24 a second",
		Versions: []Count{{"0.38.17", 300}, {"0.37.5\u202e", 90}},
		Why:      []Count{{"timeout", 40}, {"connection refused", 14}},
		Log:      []Line{{noon, LineComet, "10.0.0.1:26656 validator-7 0.38.17: 96 addresses"}}}
	for _, l := range nodeLooks {
		s := NewCrawl()
		frame(t, s, l)
		s.Set(c)
		golden(t, "crawl-"+size(l), frame(t, s, l))
	}
	s := NewCrawl()
	c.Done = true
	s.Set(c)
	golden(t, "crawl-line", []string{s.Line()})
}
