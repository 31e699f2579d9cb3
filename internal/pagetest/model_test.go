package pagetest

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"time"
)

// obj is a JSON object.
type obj = map[string]any

// modelTime is the time at the model's node.
var modelTime = time.Unix(1796028000, 0).UTC()

// hostileName is a moniker that a page must show as text, without its tricks.
const hostileName = "<img src=x onerror=alert(1)>\u202egnp.exe\u200b"

// model is a node as its API tells of it. It follows from the number of its peers alone, so that pictures of it can be
// compared.
type model struct {
	seed     uint32
	status   obj
	peers    []obj
	dialing  []obj
	attempts []obj
	events   []obj
	channels []obj
	waiting  []obj
	bans     []obj
	book     obj
	graph    obj
	network  int // nodes of its demo; 0: it is in none
	seq      int
}

func (m *model) rnd() float64 {
	m.seed = m.seed*1664525 + 1013904223
	return float64(m.seed) / (1 << 32)
}

func (m *model) int(from, to int) int { return from + int(math.Floor(m.rnd()*float64(to-from+1))) }

func (m *model) pick(from ...string) string { return from[int(m.rnd()*float64(len(from)))] }

func (m *model) text(n int, from string) string {
	var b strings.Builder
	for range n {
		b.WriteByte(from[int(m.rnd()*float64(len(from)))])
	}
	return b.String()
}

func (m *model) hex(n int) string {
	var b strings.Builder
	for range n {
		fmt.Fprintf(&b, "%x", m.int(0, 15))
	}
	return b.String()
}

var names = strings.Fields("sentry-fra-1 sentry-fra-2 archive-tokyo harbor breakwater lantern north-relay seed-2 " +
	"plum otter-17 granite mistral tern full-9c2 light-04 dockside ember kestrel pilot quarry saltmarsh rook juniper " +
	"tidewater vane watchtower-1 basalt orchard lumen cobalt")

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// wireKind is a way in which peers are linked.
type wireKind struct{ wire, transport, security, muxer string }

var wireKinds = []wireKind{{"comet", "tcp", "secretconn", "mconn"}, {"libp2p", "tcp", "noise", "yamux"},
	{"libp2p", "quic", "tls", "quic"}}

func newModel(n int) *model {
	m := &model{seed: 7, seq: 1000, network: map[int]int{36: 8, 500: 64}[n]}
	for i := range n {
		m.peers = append(m.peers, m.peer(i))
	}
	m.makeAttempts()
	m.makeEvents()
	m.makeBook(n)
	m.makeTraffic()
	m.makeStatus(n)
	m.bans = []obj{
		{"target": "198.51.100.0/24", "since": at(90_000), "until": at(-514_800), "reason": "floods of handshakes"},
		{"target": m.hex(40), "since": at(8000), "reason": "bad blocks at height 1,204"},
	}
	m.dialing = []obj{
		{"address": "/ip4/61.92.14.8/tcp/26656/mconn/" + m.hex(40), "node_id": m.hex(40), "stage": "security",
			"since": at(1), "source": "pex"},
		{"address": "/ip4/188.40.1.77/tcp/26656/mconn/" + m.hex(40), "node_id": m.hex(40), "stage": "transport",
			"since": at(0), "source": "pex"},
	}
	if n == 0 {
		m.dialing, m.attempts, m.events, m.waiting, m.bans, m.channels =
			[]obj{}, []obj{}, []obj{}, []obj{}, []obj{}, []obj{}
	}
	return m
}

// at is a time so many seconds ago.
func at(ago float64) string {
	return modelTime.Add(-time.Duration(ago * float64(time.Second))).Format(time.RFC3339Nano)
}

func (m *model) peer(i int) obj {
	outbound := i < 8
	var k wireKind
	switch {
	case outbound:
		k = wireKinds[[]int{0, 0, 0, 1, 1, 2, 2, 2}[i]]
	case m.rnd() < .5:
		k = wireKinds[0]
	case m.rnd() < .55:
		k = wireKinds[1]
	default:
		k = wireKinds[2]
	}
	guest := !outbound && k.wire == "libp2p" && m.rnd() < .25
	rtt := math.Round((4+180*math.Pow(m.rnd(), 2.2))*10) / 10
	ip := fmt.Sprintf("%d.%d.%d.%d", m.int(128, 203), m.int(0, 255), m.int(0, 255), m.int(1, 254))
	transport, security, muxer := rtt, rtt*1.1+.8, rtt*.05+.2
	if k.transport == "quic" {
		transport, security, muxer = 0, rtt*1.2+1.1, 0
	}
	rate := math.Exp(m.rnd()*8.5) * 6
	p := obj{"node_id": m.hex(40), "peer_id": "12D3KooW" + m.text(44, base58), "direction": "inbound", "ip": ip,
		"wire": k.wire, "transport": k.transport, "security": k.security, "muxer": k.muxer, "kind": k.wire,
		"guest": guest, "trusted": i < 2, "network": "harbor-1", "rtt_ms": rtt, "link_id": i + 1, "channels": []int{0}}
	p["moniker"] = names[i%len(names)]
	if guest {
		p["moniker"], p["network"] = m.pick("kubo/0.36", "js-libp2p/3", "rust-libp2p"), ""
	} else if i >= len(names) {
		p["moniker"] = fmt.Sprintf("%s-%d", names[i%len(names)], i/len(names)+1)
	}
	switch {
	case k.transport == "quic":
		p["address"], p["kind"] = "/ip4/"+ip+"/udp/26656/quic-v1", "quic"
	case outbound:
		p["address"] = "/ip4/" + ip + "/tcp/26656"
	default:
		p["address"] = fmt.Sprintf("/ip4/%s/tcp/%d", ip, m.int(32768, 60999))
	}
	p["version"] = ""
	if !guest {
		other := "switchyard 0.9.0"
		if k.wire == "comet" {
			other = "cometbft 0.40.0"
		}
		p["version"] = m.pick("switchyard 0.9.2", "switchyard 0.9.2", "switchyard 0.9.1", other)
	}
	lowest := 20
	switch {
	case i < 2:
		p["kept"], p["kept_code"] = "persistent", "persistent"
	case outbound:
		p["kept"], p["kept_code"] = fmt.Sprintf("outbound slot %d of 8", i+1), "outbound"
	case guest:
		p["kept"], p["kept_code"], lowest = "guest", "guest", 0
	default:
		p["kept"], p["kept_code"] = m.pick("longest uptime in its group", "lowest round trip", "inbound slot",
			"inbound slot", "only peer of its group"), "inbound"
	}
	if outbound {
		p["direction"] = "outbound"
	}
	p["score"] = m.int(lowest, 98)
	p["connected_s"] = math.Floor(20 + 2e5*math.Pow(m.rnd(), 3))
	p["receive_rate"], p["send_rate"] = rate*(.4+m.rnd()), rate*(.4+m.rnd())
	p["received_bytes"], p["sent_bytes"] = 4096*(i+3), 3072*(i+5)
	p["received_messages"], p["sent_messages"], p["send_dropped"], p["receive_dropped"] = 40*i+17, 30*i+21, 0, 0
	p["stages"] = []obj{{"name": "transport", "ms": transport}, {"name": "security", "ms": security},
		{"name": "muxer", "ms": muxer}, {"name": "info", "ms": rtt + .6}}
	return p
}

// failures are what goes wrong: stage, code, text, remedy.
var failures = [][4]string{
	{"transport", "unreachable", "connection refused", "nothing listens there; the address came from PEX 3 days ago"},
	{"transport", "timeout", "no answer in 5 s", "a firewall drops it, or the host is gone"},
	{"info", "other_network", `network "harbor-2", we are "harbor-1"`,
		"quarantined for 6 h; switchyard forget ID clears it"},
	{"security", "wrong_identity", "the key is not the node id we dialed", "the address belongs to another node now"},
	{"limit", "limit", "limits.attempts_per_ip: 21 in 10 s",
		"inbound from one IP; raise the key if that is a NAT of yours"},
}

func (m *model) makeAttempts() {
	m.attempts = make([]obj, 42)
	for i := range m.attempts {
		ok := m.rnd() < .35
		why := failures[int(m.rnd()*float64(len(failures)))]
		ago := math.Floor(3 + float64(i)*11 + m.rnd()*8)
		address := fmt.Sprintf("/ip4/%d.%d.%d.%d/tcp/26656", m.int(128, 203), m.int(0, 255), m.int(0, 255),
			m.int(1, 254))
		ms := 5000
		if ok {
			ms = m.int(18, 320)
		} else if why[1] != "timeout" {
			ms = m.int(1, 190)
		}
		a := obj{"seq": 900 - i, "time": at(ago), "address": address, "inbound": false, "ok": ok, "ms": ms,
			"kind": "peer-up", "stages": []obj{}, "source": m.pick("pex", "pex", "pex", "bootstrap", "dns", "operator")}
		if !ok {
			a["kind"], a["stage"], a["remedy"] = "dial-failed", why[0], why[3]
			a["reason"] = obj{"code": why[1], "text": why[2], "remote": false}
			a["inbound"] = why[0] == "limit"
		}
		m.attempts[len(m.attempts)-1-i] = a
	}
}

func (m *model) makeEvents() {
	texts := [][2]string{
		{"peer-up", "tern, QUIC, in 41 ms"}, {"dial-failed", "45.33.9.118 transport: connection refused"},
		{"pex", "18 addresses from lantern, 7 new"}, {"refused", "82.14.0.9: limits.attempts_per_ip"},
		{"peer-up", "otter-17, comet, in 63 ms"}, {"feeler", "101.7.44.2 works, moved to tried"},
		{"peer-down", "plum: no pong in 45 s"}, {"dial-failed", `9.81.200.4 info: network "harbor-2"`},
		{"pex", "30 addresses from sentry-fra-1, 2 new"}, {"peer-up", "kubo/0.36 (guest), libp2p, in 88 ms"}}
	m.events = make([]obj, 14)
	for i := range m.events {
		ago, t := i*4+m.int(0, 3), texts[i%len(texts)]
		m.events[len(m.events)-1-i] = event(800-i, float64(ago), t[0], t[1])
	}
}

// event makes an event from the line that the page shows of it.
func event(seq int, ago float64, kind, line string) obj {
	e := obj{"seq": seq, "time": at(ago), "kind": kind, "text": line, "inbound": false, "duration_ms": 0}
	who, rest, _ := strings.Cut(line, ", ")
	switch kind {
	case "peer-up":
		ms := 0.0
		_, took, _ := strings.Cut(rest, "in ")
		_, _ = fmt.Sscanf(took, "%f ms", &ms)
		e["node_id"], e["duration_ms"] = "name:"+who, ms
	case "peer-down":
		who, why, _ := strings.Cut(line, ": ")
		e["node_id"], e["reason"] = "name:"+who, obj{"code": "timeout", "text": why}
	case "dial-failed":
		address, why, _ := strings.Cut(line, " ")
		stage, text, _ := strings.Cut(why, ": ")
		e["address"], e["stage"], e["reason"] = "/ip4/"+address, stage, obj{"code": "unreachable", "text": text}
	case "refused":
		address, limit, _ := strings.Cut(line, ": ")
		e["address"], e["reason"] = "/ip4/"+address+"/tcp/40112", obj{"code": "limit", "limit": limit, "text": limit}
	case "feeler":
		address, _, _ := strings.Cut(line, " ")
		e["address"] = "/ip4/" + address
	}
	return e
}

func (m *model) makeBook(n int) {
	nodes, edges := []obj{}, []obj{}
	for _, p := range m.peers[:min(len(m.peers), 120)] {
		nodes = append(nodes, obj{"id": p["node_id"], "moniker": p["moniker"], "known": true, "linked": true,
			"kind": p["kind"]})
	}
	for range 70 {
		id, from := m.hex(40), m.int(0, min(n, 30)-1)
		if n > 0 {
			nodes = append(nodes, obj{"id": id, "moniker": "", "known": true, "linked": false, "kind": ""})
			edges = append(edges, obj{"from": m.peers[from]["node_id"], "to": id})
		}
	}
	m.graph = obj{"nodes": nodes, "edges": edges, "left_out": 0}
	groups := []obj{}
	for range 9 {
		g := obj{"group": fmt.Sprintf("%d.%d.0.0/16", m.int(128, 203), m.int(0, 255)), "new": m.int(2, 41),
			"tried": m.int(0, 9), "sources": m.int(1, 12), "linked": m.int(0, 3)}
		groups = append(groups, g)
	}
	sort.SliceStable(groups, func(i, j int) bool { return groups[i]["new"].(int) > groups[j]["new"].(int) })
	m.book = obj{"groups": groups}
	m.waiting = []obj{
		{"node_id": m.fixed(1), "address": "/ip4/77.21.9.140/tcp/26656", "kind": "quarantine", "code": "other_network",
			"reason": `network "harbor-2", we are "harbor-1"`, "failures": 1, "until": at(-20_490)},
		{"node_id": m.fixed(2), "address": "/ip4/203.0.113.9/tcp/26656", "kind": "quarantine", "code": "no_channel",
			"reason": "no common channel: it has 0x00 0x7e, we have 0x70 0x71", "failures": 1, "until": at(-10_950)},
		{"node_id": m.fixed(3), "address": "/ip4/91.4.66.18/tcp/26656", "kind": "backoff", "code": "unreachable",
			"reason": "connection refused", "failures": 6, "until": at(-750)},
	}
}

// fixed is a node id of its own, apart from the random ones.
func (m *model) fixed(i int) string { return fmt.Sprintf("%040x", 0xabc0+i) }

func (m *model) makeTraffic() {
	base, names := []float64{3e3, 6e4, 2.2e4, 1.1e4}, []string{"pex", "relay", "echo", "sync"}
	for k, id := range []int{0, 0x70, 0x71, 0x72} {
		points := make([]float64, 180)
		for i := range points {
			x := 1 + .45*math.Sin(float64(i)/float64(9+4*k)+float64(k)) + .3*(m.rnd()-.5)
			if k == 3 && i > 95 && i < 130 {
				x *= 3.4
			}
			points[i] = math.Max(0, base[k]*x)
		}
		sent := make([]float64, len(points))
		for i, v := range points {
			sent[i] = v * .93
		}
		last := points[len(points)-1]
		m.channels = append(m.channels, obj{"id": id, "name": names[k], "receive": points, "send": sent,
			"receive_rate": last, "send_rate": last * .93, "queued_bytes": int(last / 90), "dropped": 14 * (k / 3)})
	}
}

func (m *model) traffic() obj {
	return obj{"step_s": 5, "from": at(5 * 179), "channels": m.channels}
}

func (m *model) makeStatus(n int) {
	id := m.hex(40)
	fill := func(n int, p float64) []int {
		out := make([]int, n)
		for i := range out {
			if m.rnd() < p {
				out[i] = []int{0, 6, 20, 34}[m.int(1, 3)]
			}
		}
		return out
	}
	m.book["buckets"] = obj{"new": fill(256, .62), "tried": fill(64, .7), "size": 64}
	known, tried, inbound := 3412, 287, 40
	var receive, send float64
	for _, p := range m.peers {
		receive += p["receive_rate"].(float64)
		send += p["send_rate"].(float64)
	}
	findings := []obj{{"code": "unreachable-quic", "severity": "warn", "since": at(600),
		"text": "Linked well, but not reachable over QUIC", "remedy": "No inbound QUIC in 10 min; 3 peers see us at " +
			"198.51.100.7:41022. Open UDP 26656, or set listen.external."}}
	observed := []obj{{"address": "/ip4/198.51.100.7/udp/41022/quic-v1", "peers": 3, "transport": "quic"},
		{"address": "/ip4/198.51.100.7/tcp/26656", "peers": 1, "transport": "tcp"}}
	services := []string{"chain"}
	if m.network > 0 {
		services = append(services, "demo")
	}
	if n > 48 {
		inbound = 600
	}
	if n == 0 {
		known, tried = 0, 0
		observed = []obj{}
		findings = []obj{{"code": "alone", "severity": "bad", "since": at(600),
			"text":   "no peers, and no addresses to dial",
			"remedy": "name one in peers.bootstrap or peers.persistent, or switch on a [[discovery]] source"}}
		m.book = obj{"groups": []obj{}, "buckets": obj{"new": make([]int, 256), "tried": make([]int, 64), "size": 64}}
	}
	m.book["known"], m.book["new"], m.book["tried"] = known, known-tried, tried
	m.status = obj{"node_id": id, "peer_id": "12D3KooW" + m.text(44, base58), "network": "harbor-1",
		"moniker": "anchor-eu-1", "version": "0.9.2", "listen": []string{"/ip4/0.0.0.0/tcp/26656"},
		"uptime_s": 273840, "boot_id": "00112233445566aa", "writes": "token", "findings": findings,
		"limits":   obj{"max_inbound": inbound, "max_outbound": 8, "guests": 16, "dialed_guests": 64},
		"observed": observed, "services": services,
		"rates":  obj{"receive": receive, "send": send},
		"recent": obj{"refused": min(12, n), "dials_failed": min(26, n), "dials": min(42, n)},
		"store":  obj{"known": known, "tried": tried, "new": known - tried, "banned": 2, "quarantined": 2},
		"peers":  obj{"inbound": max(0, n-8), "outbound": min(8, n), "trusted": min(2, n), "guests": 0, "down": 0}}
	for _, e := range m.events { // names stand for the ids of peers
		who, ok := strings.CutPrefix(fmt.Sprint(e["node_id"]), "name:")
		if !ok {
			continue
		}
		delete(e, "node_id")
		for _, p := range m.peers {
			if p["moniker"] == who {
				e["node_id"] = p["node_id"]
			}
		}
		if e["node_id"] == nil { // it has no link any more
			e["address"] = who
		}
	}
}
