package crawl

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Version is the version of the journal's lines, and of what is made of them.
const Version = 1

// Outcome is what a visit came to.
type Outcome string

// The outcomes of a visit.
const (
	Reached      Outcome = "reached"       // the node is of the network and took the link, or would have but has no PEX
	Full         Outcome = "full"          // the node proved its key and ended the link: it has no room
	Refused      Outcome = "refused"       // the node proved its key and refused us for another reason
	OtherNetwork Outcome = "other-network" // the node is of another network
	WrongID      Outcome = "wrong-id"      // another node is at that address
	Invalid      Outcome = "invalid"       // something is there, and its handshake makes no sense
	Failed       Outcome = "failed"        // no answer, or no handshake
)

// proves reports whether the node that was expected proved its key.
func (o Outcome) proves() bool {
	return o == Reached || o == Full || o == Refused || o == OtherNetwork
}

// Visit is one attempt to visit a node: a line of the journal.
type Visit struct {
	V       int       `json:"v"`
	Time    time.Time `json:"time"`    // when the dial began
	Network string    `json:"network"` // that we claimed; of the visit that learned it, that
	// Address is what was dialed, and ID the node that was expected there; "" when a seed names none.
	Address transport.Address `json:"address"`
	ID      transport.NodeID  `json:"id,omitempty"`
	Seed    bool              `json:"seed,omitempty"`
	Dials   int               `json:"dials"` // more than 1 where a seed left the network or the wire open

	Outcome Outcome `json:"outcome"`
	Stage   string  `json:"stage,omitempty"` // in which it failed: transport, security, muxer, info, pex
	Code    string  `json:"code,omitempty"`  // why: a code of package muxer
	Error   string  `json:"error,omitempty"`

	Proven    transport.NodeID `json:"proven,omitempty"`
	PeerID    string           `json:"peer_id,omitempty"`
	Wire      string           `json:"wire,omitempty"`
	Transport string           `json:"transport,omitempty"`
	Security  string           `json:"security,omitempty"`
	Muxer     string           `json:"muxer,omitempty"`
	Stages    []Stage          `json:"stages,omitempty"`
	MS        float64          `json:"ms"` // all of the visit
	RTT       float64          `json:"rtt_ms,omitempty"`
	Info      *Info            `json:"info,omitempty"`
	PEX       *Answer          `json:"pex,omitempty"` // nil when there was nobody to ask
	// Heard are the addresses of the answer that make sense.
	Heard []transport.Address `json:"heard,omitempty"`
}

// Stage is how long one stage of the handshake took.
type Stage struct {
	Name string  `json:"name"`
	MS   float64 `json:"ms"`
}

// Answer tells of the answer to the one question of a visit.
type Answer struct {
	Answered bool    `json:"answered"`
	MS       float64 `json:"ms,omitempty"`
	Told     int     `json:"told"`              // addresses in the answer
	Refused  int     `json:"refused,omitempty"` // of these, wrong, private, excluded, or too many
}

// Info is what a node says of itself.
type Info struct {
	Moniker   string   `json:"moniker,omitempty"`
	Network   string   `json:"network,omitempty"`
	Version   string   `json:"version,omitempty"`
	P2P       uint64   `json:"p2p_version,omitempty"`
	Block     uint64   `json:"block_version,omitempty"`
	App       uint64   `json:"app_version,omitempty"`
	Height    uint64   `json:"height,omitempty"`
	Channels  []int    `json:"channels,omitempty"`
	Protocols []string `json:"protocols,omitempty"`
	Listen    []string `json:"listen,omitempty"`
	Also      []string `json:"also,omitempty"`
	Wires     []string `json:"wires,omitempty"`
	TxIndex   string   `json:"tx_index,omitempty"`
	RPC       string   `json:"rpc_address,omitempty"`
	Guest     bool     `json:"guest,omitempty"` // a plain libp2p node, which names no network
}

// Bounds of what we keep of a node info.
const (
	maxText = 256
	maxList = 64
)

// infoOf keeps what we want of a node info. All of it is the remote's claim.
func infoOf(n *handshake.NodeInfo) *Info {
	if n == nil {
		return nil
	}
	i := &Info{Moniker: bounded(n.Moniker), Network: bounded(n.Network), Version: bounded(n.Version), P2P: n.P2PVersion,
		Block: n.BlockVersion, App: n.AppVersion, Height: n.Height, Protocols: boundedAll(n.Protocols),
		Listen: boundedAll(n.Listen), Also: boundedAll(n.Also), Wires: boundedAll(n.Wires), TxIndex: bounded(n.TxIndex),
		RPC: bounded(n.RPCAddress), Guest: n.Guest}
	for _, c := range n.Channels[:min(len(n.Channels), maxList)] {
		i.Channels = append(i.Channels, int(c))
	}
	return i
}

func bounded(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "?")
}

func boundedAll(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), maxList)] {
		out = append(out, bounded(s))
	}
	return out
}

// Plain makes text from a remote safe to show: in one line, without characters that are invisible or turn the text
// around, and at most most characters long.
func Plain(s string, most int) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n++; n > most {
			b.WriteString("...")
			break
		}
		if r == utf8.RuneError || r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}
