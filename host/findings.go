package host

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Codes of findings. They are anchors in docs/reasons.md.
const (
	FindingWell             = "well"
	FindingStarting         = "starting"
	FindingAlone            = "alone"
	FindingFewOutbound      = "few-outbound"
	FindingNoInbound        = "no-inbound"
	FindingUnreachableQUIC  = "unreachable-quic"
	FindingPersistentDown   = "persistent-down"
	FindingBannedPersistent = "banned-persistent"
	FindingTwin             = "twin"
	FindingClock            = "clock"
	FindingManyForgotten    = "many-forgotten"
	FindingDrops            = "drops"
	FindingNearLimit        = "near-limit"
	FindingSlowService      = "slow-service"
	FindingOtherNetwork     = "other-network"
	FindingUnresolved       = "external-unresolved"
	FindingStoreFailing     = "store-failing"
	FindingDescriptors      = "descriptors" // the admin API finds it
)

// judge returns what holds now, in no order.
func (v *Health) judge(now time.Time) (out []Finding) {
	h := v.host
	add := func(code string, g Grade, text, remedy string, since time.Time) {
		out = append(out, Finding{Code: code, Severity: g, Text: text, Remedy: remedy, Since: since})
	}
	budgets := h.peers.Tally()
	counts, known, recent := h.peers.Counts(), h.cfg.Store.Stats().Known, h.journal.Recent()
	up, inbound, outbound := now.Sub(v.began), 0, 0
	h.links.eachUp(func(l *link) {
		if p := l.peering.Load(); p != nil && p.inbound {
			inbound++
		} else {
			outbound++
		}
	})
	linked := inbound+outbound > 0
	switch {
	case linked:
	case up < lonelyAfter:
		add(FindingStarting, GradeInfo, "the node has just started and looks for peers", "", v.began)
	case v.alone.IsZero() || now.Sub(v.alone) < lonelyAfter:
		add(FindingAlone, GradeWarn, "no peers at the moment", "it dials again by itself; wait a minute", v.alone)
	case known == 0:
		add(FindingAlone, GradeBad, "no peers, and no addresses to dial",
			"name one in peers.bootstrap or peers.persistent, or switch on a [[discovery]] source", v.alone)
	default:
		text := fmt.Sprintf("no peers; %d are known", known)
		if v.lastFailure != "" {
			text += ", and the last dial failed: " + v.lastFailure
		}
		add(FindingAlone, GradeBad, text, "see the failed dials for the reason; check the network of this machine, "+
			"the name of the network and the addresses", v.alone)
	}
	if counts.Outbound >= budgets.MaxOutbound/2 {
		v.few = time.Time{}
	} else if v.few.IsZero() {
		v.few = latest(v.began, v.lost) // there were no fewer since, as no link has ended
	}
	if linked && !v.few.IsZero() && now.Sub(v.few) >= fewAfter &&
		known > counts.Outbound+inbound+counts.Dialing+budgets.MaxOutbound {
		add(FindingFewOutbound, GradeInfo, fmt.Sprintf("%d of %d outbound slots are used, though %d peers are known; "+
			"%d of %d dials failed in the last 10 minutes", counts.Outbound, budgets.MaxOutbound, known,
			recent.DialsFailed, recent.Dials), "see the failed dials: a firewall, or addresses that are out of date",
			v.few)
	}
	quiet := now.Sub(latest(v.heard, v.began))
	if reach := h.Reach.Status(); linked && len(h.listeners) > 0 && inbound == 0 && budgets.MaxInbound > 0 &&
		(quiet >= quietAfter || reach == ReachabilityPrivate) && reach != ReachabilityPublic {
		since := latest(v.heard, v.began)
		if reach == ReachabilityPrivate {
			add(FindingNoInbound, GradeWarn, "others have tried to dial this node, and could not",
				"open or forward the ports of listen.addresses, and name the public address in listen.external", since)
		} else if v.public() {
			add(FindingNoInbound, GradeWarn, "nobody has dialed this node for "+quiet.Round(time.Minute).String(),
				"open or forward the ports of listen.addresses, and name the public address in listen.external", since)
		} else {
			add(FindingNoInbound, GradeInfo, "nobody has dialed this node, which is reachable in its own network only",
				"set listen.external to the public address if others should dial it", since)
		}
	}
	if len(v.unmoved) >= fewMoves {
		add(FindingUnreachableQUIC, GradeInfo, "links cannot move to QUIC: UDP seems to be blocked",
			"open UDP for the port of /udp/.../quic-v1, here and in the firewall", time.Time{})
	}
	v.judgeTrusted(h.peers.Down(), add)
	for code, it := range map[string]struct {
		*happening
		g      Grade
		remedy string
	}{
		FindingTwin:          {&v.twin, GradeBad, "give each node a key of its own (switchyard init --home ELSEWHERE)"},
		FindingClock:         {&v.jumped, GradeWarn, "let NTP set the clock; see that the machine does not sleep"},
		FindingManyForgotten: {&v.forgotten, GradeWarn, "see whether this machine lost its network for long"},
		FindingDrops:         {&v.dropped, GradeWarn, "a service or a peer is too slow; see which channel it is"},
		FindingSlowService:   {&v.paused, GradeInfo, "see which channel's queue is full: its service is too slow"},
	} {
		limit := oddFor
		if code == FindingDrops || code == FindingSlowService {
			limit = recentWindow
		}
		if !it.at.IsZero() && now.Sub(it.at) < limit {
			add(code, it.g, it.text, it.remedy, it.at)
		}
	}
	if most := budgets.MaxInbound; most > 1 && counts.Inbound*10 >= most*9 {
		add(FindingNearLimit, GradeInfo, fmt.Sprintf("%d of %d inbound slots are taken; %d connections were refused "+
			"in the last 10 minutes", counts.Inbound, most, recent.Refused),
			"that is normal for a public node; raise peers.max_inbound to take more", time.Time{})
	}
	if n, most := h.memory.used.Load(), h.cfg.Limits.MessageMemory; n*10 >= (most-most/4)*9 {
		add(FindingNearLimit, GradeWarn, fmt.Sprintf("messages that wait for services take %d of %d bytes, of which a "+
			"quarter is kept for peers that have none waiting", n, most),
			"a service is too slow, or raise limits.message_memory", time.Time{})
	}
	if failing := h.cfg.Store.Stats().Failing; failing != "" {
		add(FindingStoreFailing, GradeBad, "the peer store cannot write to the disk, and keeps changes in memory: "+
			failing, "see whether the disk is full or broken; bans are at risk", time.Time{})
	}
	v.judgeStrange(now, linked, add)
	if name := v.unresolved(); name != "" && up >= lonelyAfter/2 {
		add(FindingUnresolved, GradeWarn, "our own name "+name+" does not resolve, so peers cannot dial it",
			"mend the name, or listen.external", time.Time{})
	}
	if len(out) == 0 {
		some := "peers"
		if inbound+outbound == 1 {
			some = "peer"
		}
		add(FindingWell, GradeOK, fmt.Sprintf("all is well: %d %s, %d known", inbound+outbound, some, known), "",
			time.Time{})
	}
	return out
}

type addFinding func(code string, g Grade, text, remedy string, since time.Time)

// judgeTrusted judges the trusted peers without a link.
func (v *Health) judgeTrusted(down []peers.DownPeer, add addFinding) {
	var away, banned []peers.DownPeer
	for _, d := range down {
		if d.Ban.Target != (peerstore.Target{}) {
			banned = append(banned, d)
		} else if d.Failures > 0 || d.LastError != "" || d.NextTry.After(time.Now()) {
			away = append(away, d)
		}
	}
	if len(banned) > 0 {
		b := banned[0]
		add(FindingBannedPersistent, GradeBad, fmt.Sprintf("%s banned, so not dialed: %s",
			several(len(banned), "a persistent peer is", "persistent peers are"), b.ID),
			"switchyard unban "+b.Ban.Target.String(), b.Ban.Since)
	}
	if len(away) > 0 {
		a := away[0]
		text := fmt.Sprintf("%s down: %s", several(len(away), "a persistent peer is", "persistent peers are"), a.ID)
		if a.LastError != "" {
			text += ": " + a.LastError
		}
		add(FindingPersistentDown, GradeWarn, text, "see whether it runs and its address is right; it is dialed again "+
			"by itself", a.Since)
	}
}

// several begins a sentence about n things.
func several(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// judgeStrange judges connections of other networks.
func (v *Health) judgeStrange(now time.Time, linked bool, add addFinding) {
	if now.Sub(v.strangeAt) > recentWindow || len(v.strange) == 0 {
		return
	}
	n, names := 0, slices.Sorted(maps.Keys(v.strange))
	for _, k := range v.strange {
		n += k
	}
	g := GradeInfo
	if !linked {
		g = GradeWarn
	}
	add(FindingOtherNetwork, g, fmt.Sprintf("%d connections with nodes of other networks in the last 10 minutes: %s", n,
		names[0]), "if one of these is yours, give both nodes the same network", v.strangeAt)
}

// latest returns the later of two times.
func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// public reports whether the node claims an address that anybody can dial.
func (v *Health) public() bool {
	for _, m := range v.host.advertised() {
		if ip, ok := transport.MultiaddrIP(m); !ok || isPublic(ip) {
			return true
		}
	}
	return false
}

func isPublic(ip netip.Addr) bool {
	ip = ip.Unmap()
	return ip.IsUnspecified() || ip.IsGlobalUnicast() && !ip.IsPrivate()
}

// unresolved returns a name of ours of which no IP is known; "" if there is none.
func (v *Health) unresolved() string {
	n := &v.host.names
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(v.host.cfg.External, func(m ma.Multiaddr) bool {
		name := nameIn(m)
		return name != "" && len(n.ips[name]) == 0
	})
	if i < 0 {
		return ""
	}
	return nameIn(v.host.cfg.External[i])
}
