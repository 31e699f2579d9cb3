package live

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Demo is a network of nodes on this machine at one time.
type Demo struct {
	Now   time.Time     `json:"time"`
	Up    time.Duration `json:"up_ns"`
	Nodes []DemoNode    `json:"nodes"`
	// Links are up, of the Possible ones between nodes that run and have a wire in common.
	Links    int   `json:"links"`
	Possible int   `json:"possible"`
	Wires    Wires `json:"wires"`
	// Formed is how long it took until the network stood for the first time; 0: it does not yet. All says that each
	// possible link was up then, and not only as many as each node wants.
	Formed time.Duration `json:"formed_ns"`
	All    bool          `json:"all_linked"`
	Items  DemoItems     `json:"items"`
	Blocks int           `json:"blocks"` // of the example chain
	Page   string        `json:"page"`   // URL with the token, "" before there is one
	Try    string        `json:"-"`      // a command that works while the demo runs
	Ask    string        `json:"-"`      // and one that asks node 1 how it is
	Log    []Line        `json:"-"`      // oldest first
}

// DemoItems is what became of the items that nodes published.
type DemoItems struct {
	Sent     int           `json:"sent"`
	Expected int           `json:"expected"` // deliveries: nodes that ran, for each item
	Arrived  int           `json:"arrived"`
	P50      time.Duration `json:"p50_ns"` // from publishing to delivery, of the last ones
}

// DemoNode is a node of a Demo.
type DemoNode struct {
	Number int           `json:"number"`
	ID     string        `json:"node_id"`
	Speaks string        `json:"speaks"`
	Port   string        `json:"port"`
	Page   string        `json:"page"` // URL of its page, without a token; "" before there is one
	State  NodeState     `json:"state"`
	For    time.Duration `json:"-"` // how long it has stopped
	Back   time.Duration `json:"-"` // until it is revived; 0: it is not
	Links  []DemoLink    `json:"links"`
	Knows  int           `json:"knows"` // addresses of nodes
	Blocks int           `json:"blocks"`
	In     float64       `json:"in"` // bytes a second
	Out    float64       `json:"out"`
	RTT    time.Duration `json:"rtt_ns"` // of an echo
	Trend  []float64     `json:"-"`      // In + Out, a value a second
}

// NodeState is what a node of a Demo does.
type NodeState string

// The states of a node.
const (
	NodeStarts  NodeState = "starting"
	NodeRuns    NodeState = "running"
	NodeStopped NodeState = "stopped"
)

// DemoLink is a node's link to another one, or why there is none.
type DemoLink struct {
	To    int           `json:"to"`
	State LinkState     `json:"state"`
	Wire  Wire          `json:"-"`
	Kind  string        `json:"wire,omitempty"` // the name of Wire
	In    float64       `json:"in,omitempty"`
	Out   float64       `json:"out,omitempty"`
	RTT   time.Duration `json:"rtt_ns,omitempty"`
	Age   time.Duration `json:"age_ns,omitempty"`
	Dials bool          `json:"dialed,omitempty"` // the node has dialed it
}

// LinkState says whether there is a link.
type LinkState string

// The states of a link.
const (
	LinkUp      LinkState = "up"
	LinkMissing LinkState = "missing" // the two have a wire in common
	LinkNever   LinkState = "never"   // they have none
	LinkAway    LinkState = "away"    // the other one does not run
)

// up counts the links that are up, and those that could be.
func (n *DemoNode) up() (up, possible int) {
	for _, k := range n.Links {
		switch k.State {
		case LinkUp:
			up++
			possible++
		case LinkMissing:
			possible++
		}
	}
	return up, possible
}

// failing reports whether a node needs attention, so that it is never folded away.
func (n *DemoNode) failing() bool { return n.State == NodeStopped }

// What a key asks of a demo. Nodes are numbers, from 1.
type (
	Kill   struct{ Node int }
	Revive struct{ Node int }
	Cut    struct{ Node, Peer int } // Peer 0: one of the node's links
	Send   struct{ Node int }
)

func (Kill) action()   {}
func (Revive) action() {}
func (Cut) action()    {}
func (Send) action()   {}

// demoMode is what a DemoScreen shows.
type demoMode int

const (
	demoNodes demoMode = iota
	demoPeers
	demoHelp
)

// DemoScreen shows a Demo.
type DemoScreen struct {
	data  Demo
	known bool
	now   time.Time
	input input
	mode  demoMode
	node  pick // by number
	peer  pick
	room  int // rows of the list in the last frame
	name  string
}

// NewDemo returns the screen of a demo. name is the program's.
func NewDemo(name string) *DemoScreen { return &DemoScreen{name: name, room: 1} }

// Set implements Screen.
func (s *DemoScreen) Set(d Demo) { s.data, s.known = d, true }

// Tick implements Screen.
func (s *DemoScreen) Tick(now time.Time) { s.now = now }

// Notice implements Screen.
func (s *DemoScreen) Notice(text string) { s.input.notice = text }

// nodes returns the nodes that the filter leaves, and their numbers as keys of the choice.
func (s *DemoScreen) nodes() (nodes []*DemoNode, keys []string) {
	for i := range s.data.Nodes {
		n := &s.data.Nodes[i]
		if s.input.matches(fmt.Sprint(n.Number), n.Speaks, n.Port, string(n.State)) {
			nodes, keys = append(nodes, n), append(keys, fmt.Sprint(n.Number))
		}
	}
	return nodes, keys
}

// chosen returns the chosen node, nil if there is none.
func (s *DemoScreen) chosen() *DemoNode {
	nodes, keys := s.nodes()
	s.node.settle(keys)
	if len(nodes) == 0 {
		return nil
	}
	return nodes[s.node.at]
}

// links returns the links of a node that are up, and their other ends as keys.
func links(n *DemoNode) (up []DemoLink, keys []string) {
	for _, k := range n.Links {
		if k.State == LinkUp {
			up, keys = append(up, k), append(keys, fmt.Sprint(k.To))
		}
	}
	return up, keys
}

// Key implements Screen.
func (s *DemoScreen) Key(name string) Action {
	if s.mode == demoHelp {
		s.mode = demoNodes
		if name == "q" {
			return Quit{}
		}
		return nil
	}
	if s.mode == demoPeers && (name == "esc" || name == "left") {
		s.mode = demoNodes
		return nil
	}
	if a, taken := s.input.key(name); taken {
		return a
	}
	node := s.chosen()
	switch name {
	case "q":
		return Quit{}
	case "?":
		s.mode = demoHelp
		return nil
	case "o":
		return Open{}
	}
	if node == nil {
		return nil
	}
	if s.mode == demoPeers {
		if _, keys := links(node); s.peer.move(name, keys, s.room) {
			return nil
		}
	} else if _, keys := s.nodes(); s.node.move(name, keys, s.room) {
		return nil
	}
	switch name {
	case "enter", "right":
		s.mode = demoPeers
	case "k":
		return Kill{node.Number}
	case "r":
		return s.revive(node)
	case "c":
		return s.cut(node)
	case "s":
		return Send{node.Number}
	}
	return nil
}

// revive revives the chosen node; if that runs, the first one that does not.
func (s *DemoScreen) revive(chosen *DemoNode) Action {
	if chosen.State == NodeStopped {
		return Revive{chosen.Number}
	}
	for _, n := range s.data.Nodes {
		if n.State == NodeStopped {
			return Revive{n.Number}
		}
	}
	s.input.notice = "all nodes run"
	return nil
}

func (s *DemoScreen) cut(node *DemoNode) Action {
	up, keys := links(node)
	if len(up) == 0 {
		s.input.notice = fmt.Sprintf("node %d has no link", node.Number)
		return nil
	}
	if s.mode == demoPeers {
		s.peer.settle(keys)
		to, _ := strconv.Atoi(s.peer.key)
		return Cut{node.Number, to}
	}
	return Cut{Node: node.Number}
}

// JSON implements Screen.
func (s *DemoScreen) JSON() any { return s.data }

// Line implements Screen.
func (s *DemoScreen) Line() string {
	d, runs := &s.data, 0
	for _, n := range d.Nodes {
		if n.State == NodeRuns {
			runs++
		}
	}
	text := fmt.Sprintf("%6s  %d of %d nodes up; %d of %d links (%d comet, %d TCP, %d QUIC); %s", clock(d.Up), runs,
		len(d.Nodes), d.Links, d.Possible, d.Wires.Comet, d.Wires.TCP, d.Wires.QUIC, s.formed())
	if d.Items.Sent > 0 {
		text += fmt.Sprintf("; items %s/%s, p50 %s", count(d.Items.Arrived), count(d.Items.Expected), trip(d.Items.P50))
	}
	if n := len(d.Log); n > 0 && d.Now.Sub(d.Log[n-1].Time) < printEvery { // each is told once
		text += "; " + Clean(d.Log[n-1].Text)
	}
	return text
}

// formed says how long the network took to form.
func (s *DemoScreen) formed() string {
	d := &s.data
	switch {
	case d.Formed == 0:
		return "linking"
	case d.All:
		return fmt.Sprintf("all linked in %.1f s", d.Formed.Seconds())
	}
	return fmt.Sprintf("formed in %.1f s", d.Formed.Seconds())
}

// shortURL returns a URL without its fragment, which may be a token.
func shortURL(u string) string {
	u, _, _ = strings.Cut(u, "#")
	return strings.TrimSuffix(u, "/")
}
