package cli

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/host/admin"
	"github.com/switchyard-p2p/switchyard/host/autonat"
	"github.com/switchyard-p2p/switchyard/host/nat"
	"github.com/switchyard-p2p/switchyard/transport"
)

// askedPeers is how many peers doctor asks where they see the node.
const askedPeers = 3

// checkNAT compares the addresses of this machine with those that the node advertises and its peers see.
func checkNAT(_ context.Context, at *patient) []diagnosis {
	var public, private []string
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return []diagnosis{{"nat", gradeWarn, message(err), "this machine does not tell its addresses"}}
	}
	for _, a := range addrs {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || !prefix.Addr().IsGlobalUnicast() {
			continue
		}
		if transport.IsPublicIP(prefix.Addr()) {
			public = append(public, prefix.Addr().String())
		} else {
			private = append(private, prefix.Addr().String())
		}
	}
	external := at.cfg.Listen.External
	switch {
	case len(at.cfg.Listen.Addresses) == 0:
		return []diagnosis{{"nat", gradeOK, "the node only dials", ""}}
	case onlyLoopback(at.cfg.Listen.Addresses) && len(external) == 0:
		return []diagnosis{{"nat", gradeOK, "the node listens on loopback only", ""}}
	case len(external) > 0:
		return []diagnosis{{"nat", gradeOK, "the node advertises " + strings.Join(external, " "), ""}}
	case len(public) > 0:
		return []diagnosis{{"nat", gradeOK, "this machine has the public address " + strings.Join(public, " "), ""}}
	case len(private) == 0:
		return []diagnosis{{"nat", gradeBad, "this machine has no address but loopback", "connect it to a network"}}
	}
	text := "this machine has private addresses only, so it is behind a NAT: " + strings.Join(private, " ")
	remedy := "forward the ports of listen.addresses and set listen.external, or let this network's nodes alone dial it"
	switch at.mapping {
	case "true":
		return []diagnosis{{"nat", gradeOK, text + "; services.nat asks the gateway to forward the ports", ""}}
	case "false":
		remedy = "set services.nat.enabled = true to ask the gateway, or " + remedy
	}
	return []diagnosis{{"nat", gradeWarn, text, remedy}}
}

// checkGateway asks the gateway by what it maps ports. It maps none.
func checkGateway(ctx context.Context, at *patient) []diagnosis {
	if at.gateway == nil {
		return nil
	}
	ip, found, err := nat.Probe(ctx, *at.gateway)
	if err != nil {
		return []diagnosis{{"gateway", gradeWarn, message(err), "forward the ports by hand, if this network has a NAT"}}
	}
	if len(found) == 0 {
		return []diagnosis{{"gateway", gradeWarn, fmt.Sprintf("%s answers neither PCP nor NAT-PMP nor UPnP: it maps "+
			"no ports", ip), "turn one of them on in the router, or forward the ports by hand and set listen.external"}}
	}
	var by []string
	outside := netip.Addr{}
	for _, p := range found {
		by = append(by, p.Protocol)
		if p.External.IsValid() {
			outside = p.External
		}
	}
	text := fmt.Sprintf("%s maps ports by %s", ip, strings.Join(by, ", "))
	switch {
	case !outside.IsValid():
		return []diagnosis{{"gateway", gradeOK, text + "; it does not tell its address outside", ""}}
	case transport.IsPublicIP(outside):
		return []diagnosis{{"gateway", gradeOK, text + "; its address outside is " + outside.String(), ""}}
	}
	return []diagnosis{{"gateway", gradeWarn, text + ", but its address outside, " + outside.String() +
		", is behind another translator: nobody outside reaches what it maps",
		"ask the provider for a public address, or use IPv6"}}
}

// onlyLoopback reports whether no listen address can be reached from elsewhere.
func onlyLoopback(list []string) bool {
	return !slices.ContainsFunc(list, func(text string) bool {
		m, err := ma.NewMultiaddr(text)
		if err != nil {
			return true
		}
		ip, ok := transport.MultiaddrIP(m)
		return !ok || !ip.IsLoopback()
	})
}

// checkReach tells whether others reach the node: by the links that came in, and by what up to three peers say of where
// they see it.
func checkReach(_ context.Context, at *patient) []diagnosis {
	if at.status == nil {
		return []diagnosis{{"reachable", gradeOK, "not checked: the node does not run", ""}}
	}
	var from []string
	for _, p := range at.peers {
		if ip, err := netip.ParseAddr(p.IP); err == nil && p.Direction == admin.Inbound && !ip.IsLoopback() {
			from = append(from, p.NodeID.Short())
		}
	}
	asked := at.status.Observed
	if len(asked) > askedPeers {
		asked = asked[:askedPeers]
	}
	var out []diagnosis
	for _, o := range asked {
		out = append(out, diagnosis{"observed", gradeOK,
			fmt.Sprintf("%d peers see this node at %s", o.Peers, o.Address), ""})
	}
	dialedAt := strings.Join(from[:min(len(from), askedPeers)], " ")
	switch up := time.Duration(at.status.Uptime) * time.Second; {
	case len(from) > 0:
		out = append(out, diagnosis{"reachable", gradeOK, fmt.Sprintf("%d peers have dialed this node: %s", len(from),
			dialedAt), ""})
	case len(at.status.Listen) == 0:
		out = append(out, diagnosis{"reachable", gradeWarn, "the node listens nowhere, so nobody can dial it",
			"set listen.addresses, unless that is wanted"})
	case onlyLoopback(at.status.Listen):
		out = append(out, diagnosis{"reachable", gradeOK, "not from elsewhere: the node listens on loopback only", ""})
	case at.status.Peers.Inbound+at.status.Peers.Outbound == 0:
		out = append(out, diagnosis{"reachable", gradeWarn, "no peer to ask", "see the findings"})
	case up < 10*time.Minute:
		out = append(out, diagnosis{"reachable", gradeOK,
			"no peer has dialed this node yet; it has run for " + span(up), ""})
	case at.dialBack != nil && at.dialBack.Reachable() == autonat.Reachable:
		out = append(out, diagnosis{"reachable", gradeOK, "no peer has dialed this node in " + span(up) +
			" but those that were asked to", ""})
	default:
		out = append(out, diagnosis{"reachable", gradeWarn, "no peer has dialed this node in " + span(up),
			"open or forward the ports of listen.addresses, and name the public address in listen.external"})
	}
	return out
}
