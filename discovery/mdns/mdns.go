// Package mdns finds peers on the local network by multicast DNS, as libp2p's nodes do (libp2p/specs, discovery/mdns):
// the service _p2p._udp.local, with a TXT record "dnsaddr=MULTIADDR" for each address. Nodes of go-libp2p, js-libp2p
// and Switchyard find each other. Addresses of the comet wire are in records "switchyard=MULTIADDR".
//
// It tells everybody on the local network that the node is there, and believes what anybody there says. So it is used
// only where the configuration names it, takes only addresses that are on the local network, and bounds what it takes.
package mdns

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/discovery"
	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	prefix = "dnsaddr="
	// ownPrefix is that of addresses of other wires. Other implementations leave out what has it, but some leave out a
	// whole node for a dnsaddr that they do not know.
	ownPrefix = "switchyard="
	// maxRecords bounds the TXT records of a node, maxText those that we send together: an mDNS packet should fit into
	// 1,500 bytes (RFC 6762).
	maxRecords = 16
	maxText    = 1100
	maxRecord  = 255
	// A browse ends after browseTime, or maxEntries nodes, and another begins after restTime.
	browseTime = 10 * time.Minute
	maxEntries = 256
	restTime   = 30 * time.Second
	// lookTime is how often we look whether our own addresses have changed, and firstLook how often until there are
	// some.
	lookTime  = time.Minute
	firstLook = time.Second
)

// Config has the source's settings. The zero Config works.
type Config struct {
	// Loopback also announces and takes addresses of this machine alone, for nodes of one machine.
	Loopback bool `toml:"loopback"`
	// Silent only listens: the node is not announced.
	Silent bool `toml:"silent"`
}

// Default announces the node, without its loopback addresses.
func Default() Config { return Config{} }

// New builds the source.
func New(cfg Config, env discovery.Env) (discovery.Source, error) {
	return &source{cfg: cfg, env: env, log: env.Log()}, nil
}

type source struct {
	cfg Config
	env discovery.Env
	log *slog.Logger
}

// Run announces the node and listens for others until ctx ends. A machine without multicast is asked again and again:
// its network may come later.
func (s *source) Run(ctx context.Context, n discovery.Network, found func(transport.Address, transport.NodeID)) error {
	group, ctx := errgroup.WithContext(ctx)
	if !s.cfg.Silent {
		group.Go(func() error {
			s.announce(ctx, n)
			return nil
		})
	}
	group.Go(func() error {
		s.listen(ctx, n, found)
		return nil
	})
	return group.Wait()
}

// announce keeps what others hear of us up to date.
func (s *source) announce(ctx context.Context, n discovery.Network) {
	var said []string
	var stop func()
	defer func() {
		if stop != nil {
			stop()
		}
	}()
	for failed := ""; ; {
		ips, records := s.records(n)
		if !slices.Equal(said, records) && len(records) > 0 {
			if stop != nil {
				stop()
			}
			var err error
			if stop, err = announce(strings.ToLower(rand.Text()+rand.Text()), ips, records); err != nil {
				stop, records = nil, nil
				if failed != err.Error() {
					failed = err.Error()
					s.log.Warn("the node cannot be announced", slog.Any("error", err))
				}
			}
			said = records
		}
		wait := lookTime
		if len(n.ListenAddrs()) == 0 {
			wait = firstLook
		}
		if !discovery.Pause(ctx, wait) {
			return
		}
	}
}

// records returns what we say: the IPs and the TXT records of the addresses that we have on the local network.
func (s *source) records(n discovery.Network) (ips, records []string) {
	type way struct{ network, node string }
	var ways []way // over which wire a node reaches us over which transport
	for _, a := range n.SelfAddresses() {
		w := way{a.Network(), string(a.ID())}
		if a.Wire() == transport.WireLibp2p {
			w.node = a.PeerID()
		}
		if !slices.Contains(ways, w) {
			ways = append(ways, w)
		}
	}
	slices.SortStableFunc(ways, func(a, b way) int { return len(b.node) - len(a.node) }) // libp2p's first
	room := maxText
	for _, w := range ways {
		for _, m := range n.ListenAddrs() {
			at, err := manet.ResolveUnspecifiedAddresses([]ma.Multiaddr{m}, nil)
			if err != nil {
				continue
			}
			for _, m := range at {
				a, err := transport.NewAddress(m, w.node)
				ip, ok := a.IP()
				if err != nil || !ok || a.Network() != w.network || ip.IsLinkLocalUnicast() ||
					ip.IsLoopback() && !s.cfg.Loopback {
					continue
				}
				record := prefix + a.String()
				if a.Wire() != transport.WireLibp2p {
					record = ownPrefix + a.String()
				}
				if len(record) > maxRecord || len(record) > room || len(records) == maxRecords ||
					slices.Contains(records, record) {
					continue
				}
				room -= len(record)
				records = append(records, record)
				if text := ip.String(); !slices.Contains(ips, text) && len(ips) < 4 {
					ips = append(ips, text)
				}
			}
		}
	}
	return ips, records
}

// listen browses, one time after another.
func (s *source) listen(ctx context.Context, n discovery.Network, found func(transport.Address, transport.NodeID)) {
	var here nearby
	failed := ""
	for {
		round, cancel := context.WithTimeout(ctx, browseTime)
		entries := 0
		err := browse(round, func(records []string) {
			if entries++; entries >= maxEntries {
				cancel()
			}
			here.refresh(time.Now())
			for _, a := range s.env.Usable(parse(records, n.Self(), s.near(&here))) {
				if ctx.Err() != nil { // the rest is only drained
					return
				}
				found(a, "")
			}
		})
		cancel()
		if err != nil && ctx.Err() == nil && failed != err.Error() {
			failed = err.Error()
			s.log.Warn("nodes of the local network cannot be found", slog.Any("error", err))
		}
		if entries >= maxEntries {
			s.log.Warn("the local network announces many nodes", slog.Int("nodes", entries))
		}
		if !discovery.Pause(ctx, restTime) {
			return
		}
	}
}

// near reports whether an IP is on the local network.
func (s *source) near(here *nearby) func(netip.Addr) bool {
	return func(ip netip.Addr) bool {
		switch {
		case ip.IsLoopback():
			return s.cfg.Loopback
		case ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast(): // the last lack the zone that they need
			return false
		}
		return ip.IsPrivate() || here.has(ip)
	}
}

// parse reads the TXT records of one node, of which self is us. near chooses by IP.
func parse(records []string, self transport.NodeID, near func(netip.Addr) bool) []transport.Address {
	var out []transport.Address
	for _, record := range records[:min(len(records), maxRecords)] {
		text, ok := strings.CutPrefix(record, prefix)
		if !ok {
			text, ok = strings.CutPrefix(record, ownPrefix)
		}
		if !ok || len(text) > transport.MaxAddressText {
			continue
		}
		a, err := transport.ParseAddress(text)
		if err != nil || a.ID() == "" || a.ID() == self || slices.Contains(out, a) {
			continue
		}
		if ip, ok := a.IP(); ok && a.Port() != 0 && near(ip.Unmap()) {
			out = append(out, a)
		}
	}
	return out
}

// nearby holds the networks of the machine's interfaces. Its user is one goroutine.
type nearby struct {
	networks []netip.Prefix
	read     time.Time
}

// refresh reads them, at most every ten seconds.
func (h *nearby) refresh(now time.Time) {
	if !h.read.IsZero() && now.Sub(h.read) < 10*time.Second {
		return
	}
	h.networks, h.read = h.networks[:0], now
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			h.networks = append(h.networks, p.Masked())
		}
	}
}

func (h *nearby) has(ip netip.Addr) bool {
	return slices.ContainsFunc(h.networks, func(p netip.Prefix) bool { return p.Contains(ip) })
}
