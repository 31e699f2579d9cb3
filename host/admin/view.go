package admin

import (
	"math"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Status is the answer of GET /v1/status.
type Status struct {
	NodeID     transport.NodeID `json:"node_id"`
	PeerID     string           `json:"peer_id"`
	Network    string           `json:"network"`
	Moniker    string           `json:"moniker"`
	Version    string           `json:"version"`
	Listen     []string         `json:"listen"` // with the real ports
	Uptime     int64            `json:"uptime_s"`
	Peers      PeerCounts       `json:"peers"`
	Store      StoreCounts      `json:"store"`
	Goroutines int              `json:"goroutines"`
	Writes     string           `json:"writes"` // who may do what is not GET: WritesToken, WritesSocket, WritesOpen
	// Down and Quarantined have the first 100; peers.down and store.quarantined count all.
	Down        []Down        `json:"down"`
	Quarantined []Quarantined `json:"quarantined"`

	BootID   string     `json:"boot_id"` // 16 hex digits, others at each start
	Limits   Limits     `json:"limits"`
	Rates    Rates      `json:"rates"`
	Recent   Recent     `json:"recent"`
	Observed []Observed `json:"observed"`
	// Reachability is "public", "private" or "unknown": whether others can dial the node, as somebody has found out.
	Reachability string    `json:"reachability"`
	Services     []string  `json:"services"` // that serve something below /v1/services/
	Findings     []Finding `json:"findings"`
}

// Limits are the budgets of links.
type Limits struct {
	MaxInbound  int `json:"max_inbound"`
	MaxOutbound int `json:"max_outbound"`
	Guests      int `json:"guests"`

	DialedGuests int `json:"dialed_guests"` // those that an operator or a program dials
}

// Rates are bytes a second over all links, decayed over 10 s.
type Rates struct {
	Receive float64 `json:"receive"`
	Send    float64 `json:"send"`
}

// Recent counts the connections of the last 10 minutes.
type Recent struct {
	Refused     int `json:"refused"` // that came in
	DialsFailed int `json:"dials_failed"`
	Dials       int `json:"dials"` // of addresses
}

// Observed is an address at which peers see the node.
type Observed struct {
	Address   string `json:"address"`
	Peers     int    `json:"peers"` // that see it there
	Transport string `json:"transport"`
}

// Finding is a verdict on the node.
type Finding struct {
	Code     string     `json:"code"` // an anchor in docs/reasons.md
	Severity host.Grade `json:"severity"`
	Text     string     `json:"text"`
	Remedy   string     `json:"remedy"`
	Since    time.Time  `json:"since"`
}

// maxAway bounds the peers that Status lists.
const maxAway = 100

// Down is a trusted peer without a link.
type Down struct {
	NodeID    transport.NodeID `json:"node_id"`
	Addresses []string         `json:"addresses"`
	Failures  uint32           `json:"failures"` // dials in a row
	LastError string           `json:"last_error,omitempty"`
	Since     time.Time        `json:"since,omitzero"`    // when its last link ended
	NextTry   time.Time        `json:"next_try,omitzero"` // left out: now
	Ban       *Ban             `json:"ban,omitempty"`     // while it holds, the peer is not dialed
}

func downOf(d *peers.DownPeer) Down {
	out := Down{NodeID: d.ID, Addresses: []string{}, Failures: d.Failures, LastError: d.LastError, Since: d.Since,
		NextTry: d.NextTry}
	for _, a := range d.Addresses {
		out.Addresses = append(out.Addresses, a.String())
	}
	if d.Ban.Target != (peerstore.Target{}) {
		ban := banOf(d.Ban)
		out.Ban = &ban
	}
	return out
}

// Quarantined is a peer that is neither dialed nor advertised until then.
type Quarantined struct {
	NodeID transport.NodeID `json:"node_id"`
	Until  time.Time        `json:"until"`
	Reason string           `json:"reason"`
}

// PeerCounts holds the links that are up. Trusted peers and guests are counted by their direction, too.
type PeerCounts struct {
	Inbound  int `json:"inbound"`
	Outbound int `json:"outbound"`
	Trusted  int `json:"trusted"`
	Guests   int `json:"guests"` // plain libp2p peers, which name no network
	Down     int `json:"down"`   // trusted peers without a link
}

// StoreCounts holds the totals of the peer store.
type StoreCounts struct {
	Known  int `json:"known"`
	Tried  int `json:"tried"`
	New    int `json:"new"`
	Banned int `json:"banned"`

	Quarantined int `json:"quarantined"`
}

// Peer is one link of GET /v1/peers, in order of node id.
type Peer struct {
	NodeID    transport.NodeID `json:"node_id"`
	PeerID    string           `json:"peer_id"`
	Address   string           `json:"address"` // where the node dialed the peer, or where the peer dialed from
	Direction string           `json:"direction"`
	Wire      string           `json:"wire"`
	Transport string           `json:"transport"`
	Security  string           `json:"security"`
	Muxer     string           `json:"muxer"`
	Moniker   string           `json:"moniker"`
	Network   string           `json:"network"`
	Version   string           `json:"version"`
	Channels  []int            `json:"channels"`  // ids
	Protocols []string         `json:"protocols"` // stream protocols that it announces; empty on comet
	Listen    []string         `json:"listen"`    // listen addresses that it announces
	Trusted   bool             `json:"trusted"`
	Guest     bool             `json:"guest"` // a plain libp2p peer, which names no network
	Score     int              `json:"score"`
	Connected float64          `json:"connected_s"`
	Sent      uint64           `json:"sent_bytes"`
	Received  uint64           `json:"received_bytes"`
	RTT       float64          `json:"rtt_ms"` // 0 until it is measured

	SentMessages     uint64 `json:"sent_messages"`
	ReceivedMessages uint64 `json:"received_messages"`
	SendDropped      uint64 `json:"send_dropped"`    // messages that its full send queue refused
	ReceiveDropped   uint64 `json:"receive_dropped"` // messages that full inboxes of ours dropped
	ReceiveQueued    int64  `json:"receive_queued_bytes"`

	IP             string         `json:"ip"` // of the connection's remote end
	Port           uint16         `json:"port"`
	Local          string         `json:"local"`    // the node's end of the connection
	Observed       string         `json:"observed"` // that end as the peer sees it; "" if it does not say
	AppVersion     uint64         `json:"app_version"`
	BlockVersion   uint64         `json:"block_version"`
	P2PVersion     uint64         `json:"p2p_version"`
	TxIndex        string         `json:"tx_index"`
	RPCAddress     string         `json:"rpc_address"`
	RemoteChannels []int          `json:"remote_channels"` // all that it announces, ours or not
	RemoteWires    []string       `json:"remote_wires"`    // that it announces, if it is a Switchyard node
	Also           []string       `json:"also"`            // further multiaddrs that it announces (comet)
	SendRate       float64        `json:"send_rate"`       // bytes a second, decayed over 10 s
	ReceiveRate    float64        `json:"receive_rate"`
	ChannelStats   []ChannelStats `json:"channel_stats,omitzero"` // of channels; GET /v1/stream leaves them out

	Kind     string         `json:"kind"` // "comet", "libp2p" or "quic"
	Kept     string         `json:"kept"` // why it keeps its link
	KeptCode peers.KeptCode `json:"kept_code"`
	Stages   []Stage        `json:"stages"`  // of the handshake
	LinkID   uint64         `json:"link_id"` // no other link has it
	Since    time.Time      `json:"since"`   // when the link came up
}

// Stage is how long a stage of a handshake took.
type Stage struct {
	Name string  `json:"name"` // "transport", "security", "muxer" or "info"
	MS   float64 `json:"ms"`
}

func stagesOf(stages []handshake.Stage) []Stage {
	out := make([]Stage, len(stages))
	for i, s := range stages {
		out[i] = Stage{s.Name, millis(s.Took)}
	}
	return out
}

// KindQUIC is the Peer.Kind of links over QUIC; others have the name of their wire.
const KindQUIC = "quic"

func kindOf(p *host.PeerInfo) string {
	if p.Transport == KindQUIC {
		return KindQUIC
	}
	return p.Wire
}

// ChannelStats is what passed a channel of a link. Bytes are those of messages.
type ChannelStats struct {
	ID                int     `json:"id"`
	Priority          int     `json:"priority"`
	SendQueue         int     `json:"send_queue_bytes"`
	SendQueueCapacity int     `json:"send_queue_capacity"` // bytes
	SendQueueMessages int     `json:"send_queue_messages"`
	SentMessages      uint64  `json:"sent_messages"`
	SentBytes         uint64  `json:"sent_bytes"`
	ReceivedMessages  uint64  `json:"received_messages"`
	ReceivedBytes     uint64  `json:"received_bytes"`
	SendRate          float64 `json:"send_rate"` // bytes a second, decayed over 10 s
	ReceiveRate       float64 `json:"receive_rate"`
}

// The two directions of a link.
const (
	Inbound  = "inbound"
	Outbound = "outbound"
)

func direction(inbound bool) string {
	if inbound {
		return Inbound
	}
	return Outbound
}

func peerOf(p *host.PeerInfo, now time.Time) Peer {
	out := Peer{
		NodeID: p.ID, PeerID: p.PeerID, Address: p.Address, Direction: direction(p.Inbound),
		Wire: p.Wire, Transport: p.Transport, Security: p.Security, Muxer: p.Muxer,
		Moniker: p.Moniker, Network: p.Network, Version: p.Version,
		Channels: ints(p.Channels), Protocols: append([]string{}, p.Protocols...),
		Listen:  append([]string{}, p.Listen...),
		Trusted: p.Trusted, Guest: p.Guest, Score: p.Score, Connected: seconds(now.Sub(p.Connected)),
		Sent: p.Stats.SentBytes, Received: p.Stats.ReceivedBytes, RTT: millis(p.Stats.RTT),
		SentMessages: p.Stats.SentMessages, ReceivedMessages: p.Stats.ReceivedMessages,
		SendDropped: p.Stats.Dropped, ReceiveDropped: p.InboxDropped, ReceiveQueued: p.ReceiveQueued,
		Port: p.Port, Observed: p.Observed,
		AppVersion: p.Remote.AppVersion, BlockVersion: p.Remote.BlockVersion, P2PVersion: p.Remote.P2PVersion,
		TxIndex: p.Remote.TxIndex, RPCAddress: p.Remote.RPCAddress, RemoteChannels: ints(p.Remote.Channels),
		RemoteWires: append([]string{}, p.Remote.Wires...), Also: append([]string{}, p.Remote.Also...),
		SendRate: round(p.SendRate), ReceiveRate: round(p.ReceiveRate),
		ChannelStats: make([]ChannelStats, len(p.PerChannel)),
		Kind:         kindOf(p), Kept: p.Kept.Text, KeptCode: p.Kept.Code, Stages: stagesOf(p.Stages), LinkID: p.LinkID,
		Since: p.Connected,
	}
	if p.IP.IsValid() {
		out.IP = p.IP.String()
	}
	if p.LocalAddr != nil {
		out.Local = p.LocalAddr.String()
	}
	for i, c := range p.PerChannel {
		out.ChannelStats[i] = ChannelStats{ID: int(c.ID), Priority: c.Priority, SendQueue: c.SendQueue,
			SendQueueCapacity: c.SendQueueCapacity, SendQueueMessages: c.SendQueueMessages,
			SentMessages: c.SentMessages, SentBytes: c.SentBytes, ReceivedMessages: c.ReceivedMessages,
			ReceivedBytes: c.ReceivedBytes, SendRate: round(c.SendRate), ReceiveRate: round(c.ReceiveRate)}
	}
	return out
}

// ints returns ids of channels as JSON shows them.
func ints(ids []byte) []int {
	out := make([]int, len(ids))
	for i, id := range ids {
		out[i] = int(id)
	}
	return out
}

// KnownPeer is one peer of GET /v1/store, best ranked first. Times of events that never happened are left out.
type KnownPeer struct {
	NodeID           transport.NodeID `json:"node_id"`
	Tried            bool             `json:"tried"` // one of its addresses has worked
	Trusted          bool             `json:"trusted"`
	Unconditional    bool             `json:"unconditional"`
	Private          bool             `json:"private"`
	Score            int              `json:"score"`
	Height           uint64           `json:"height"`
	Failures         uint32           `json:"failures"` // dials since the last success
	FirstSeen        time.Time        `json:"first_seen,omitzero"`
	LastConnected    time.Time        `json:"last_connected,omitzero"`
	LastDisconnected time.Time        `json:"last_disconnected,omitzero"`
	NotBefore        time.Time        `json:"not_before,omitzero"` // no dial before that
	Quarantined      time.Time        `json:"quarantined_until,omitzero"`
	QuarantineReason string           `json:"quarantine_reason,omitempty"`
	Addresses        []KnownAddress   `json:"addresses"`
}

// KnownAddress is one address of a known peer.
type KnownAddress struct {
	Address     string           `json:"address"`
	Source      string           `json:"source"` // such as "config" or "pex"
	From        transport.NodeID `json:"from,omitempty"`
	Failures    uint32           `json:"failures"`
	FirstHeard  time.Time        `json:"first_heard,omitzero"`
	LastHeard   time.Time        `json:"last_heard,omitzero"`
	LastDialed  time.Time        `json:"last_dialed,omitzero"`
	LastSuccess time.Time        `json:"last_success,omitzero"`
	NotBefore   time.Time        `json:"not_before,omitzero"`
	LastError   string           `json:"last_error,omitempty"`
}

func knownOf(r *peerstore.Record, now time.Time) KnownPeer {
	out := KnownPeer{
		NodeID: r.ID, Tried: r.Tried(), Trusted: r.Trusted, Unconditional: r.Unconditional, Private: r.Private,
		Score: peers.Score(r, now), Height: r.Height,
		Failures: r.Failures, FirstSeen: r.FirstSeen, LastConnected: r.LastConnected,
		LastDisconnected: r.LastDisconnected,
		NotBefore:        r.NotBefore, Quarantined: r.Quarantined, QuarantineReason: r.QuarantineReason,
		Addresses: make([]KnownAddress, len(r.Addresses)),
	}
	for i, a := range r.Addresses {
		out.Addresses[i] = KnownAddress{
			Address: a.Address.String(), Source: a.Source.Kind, From: a.Source.From, Failures: a.Failures,
			FirstHeard: a.FirstHeard, LastHeard: a.LastHeard,
			LastDialed: a.LastDialed, LastSuccess: a.LastSuccess, NotBefore: a.NotBefore, LastError: a.LastError,
		}
	}
	return out
}

// Ban is one entry of GET /v1/bans.
type Ban struct {
	Target string    `json:"target"` // a node id, an IP address or a CIDR
	Since  time.Time `json:"since,omitzero"`
	Until  time.Time `json:"until,omitzero"` // left out: forever
	Reason string    `json:"reason"`
}

func banOf(b peerstore.Ban) Ban {
	return Ban{Target: b.Target.String(), Since: b.Since, Until: b.Until, Reason: b.Reason}
}

// Event is one message of GET /v1/events; its kind is also the name of the server-sent event.
type Event struct {
	Seq      uint64           `json:"seq"` // its number; those of a later start are greater
	Time     time.Time        `json:"time"`
	Kind     host.EventKind   `json:"kind"`
	NodeID   transport.NodeID `json:"node_id,omitempty"`
	Address  string           `json:"address,omitempty"`
	Inbound  bool             `json:"inbound"`
	Stage    string           `json:"stage,omitempty"` // of a failed dial or a refusal
	Reason   *Reason          `json:"reason,omitempty"`
	Duration float64          `json:"duration_ms"` // of the dial or the handshake
	Text     string           `json:"text"`        // one line for people
}

// Reason is why a link ended, or why there was none.
type Reason struct {
	Code   string `json:"code"`
	Remote bool   `json:"remote"`          // the remote ended or refused it
	Limit  string `json:"limit,omitempty"` // the configuration key of the limit that refused
	Text   string `json:"text"`            // all of it, for people
}

func reasonOf(r *host.DisconnectError) *Reason {
	if r == nil {
		return nil
	}
	return &Reason{Code: muxer.Code(r.Code).String(), Remote: r.Remote, Limit: r.Limit, Text: r.Error()}
}

// The bodies of requests.
type (
	dialRequest struct {
		Address string `json:"address"`
	}
	disconnectRequest struct {
		NodeID string `json:"node_id"`
	}
	forgetRequest struct {
		Peer       string `json:"peer"`
		Disconnect bool   `json:"disconnect,omitempty"` // end its link first
	}
	banRequest struct {
		Target string `json:"target"`
		For    string `json:"for"` // a duration such as "24h"; empty: forever
		Reason string `json:"reason"`
		Force  bool   `json:"force"` // also a ban of half of the links, or of a large part of the Internet
	}
	// failure is the body of every answer that is not a success.
	failure struct {
		Error  string  `json:"error"`
		Reason *Reason `json:"reason,omitempty"` // of a dial
	}
)

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// round keeps one decimal of a rate, so that one that fades comes to its end.
func round(x float64) float64 { return math.Round(x*10) / 10 }

func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
