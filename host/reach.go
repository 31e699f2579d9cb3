package host

import (
	"cmp"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

const (
	// defaultObservers is how many network groups must agree on where they see us.
	defaultObservers = 3
	// agreedLife is how long what was agreed on is advertised after the last peer has confirmed it.
	agreedLife = time.Hour
	// maxObserved bounds the addresses of Observed, which remotes choose.
	maxObserved = 16
)

// Reach is what a host learns at run time of the addresses at which others reach it: from a gateway that maps ports
// (package nat), and from what peers say. Both are advertised ahead of the listen addresses, unless Config.External
// says what to advertise. All methods may be called concurrently.
//
// Peers over libp2p's wire tell where they see us (CometBFT's nodes cannot). Any of them may lie, so an address is
// advertised only if Config.Observers network groups name it, more than half of all that name any, and only peers
// that we have dialed count: an attacker chooses whom it dials, not whom we dial. Over TCP such a peer sees a port of
// the connection alone; what counts is the IP, with the port on which we listen.
type Reach struct {
	host  *Host
	extra atomic.Pointer[[]ma.Multiaddr] // what to advertise ahead of the listen addresses; nil for nothing

	status atomic.Uint32 // a Reachability

	mu     sync.Mutex // guards the fields below
	mapped []ma.Multiaddr
	agreed map[agreedKey]agreedAddress
}

// Reachability says whether nodes on the open network can dial this one, in AutoNAT's words.
type Reachability uint8

const (
	ReachabilityUnknown Reachability = iota
	ReachabilityPublic               // others have dialed it
	ReachabilityPrivate              // others have tried to, and could not
)

func (r Reachability) String() string {
	switch r {
	case ReachabilityPublic:
		return "public"
	case ReachabilityPrivate:
		return "private"
	}
	return "unknown"
}

// Set says whether the node can be dialed, as somebody has found out. While it is ReachabilityPrivate, what peers agree
// on is not advertised, and Health finds no-inbound; while it is ReachabilityPublic, Health does not.
func (r *Reach) Set(to Reachability) {
	if r.status.Swap(uint32(to)) == uint32(to) {
		return
	}
	r.mu.Lock()
	changed := r.publish()
	r.mu.Unlock()
	if changed {
		r.host.protocolsChanged()
	}
}

// Status returns what Set was told last; ReachabilityUnknown before.
func (r *Reach) Status() Reachability { return Reachability(r.status.Load()) }

// Observed is where peers see the node.
type Observed struct {
	Address   ma.Multiaddr // such as /ip4/1.2.3.4/tcp/26656
	Transport string
	Peers     int // how many see it there
}

// agreedKey is what there is one address of.
type agreedKey struct {
	transport string
	ip4       bool
}

type agreedAddress struct {
	at        netip.AddrPort
	confirmed time.Time
}

// sighting is where one peer sees us.
type sighting struct {
	at        netip.AddrPort
	transport string
	group     netip.Prefix // of the peer
	dialed    bool         // by us
}

// Map sets the addresses that a gateway forwards to us, in place of those before.
func (r *Reach) Map(addresses []ma.Multiaddr) {
	r.mu.Lock()
	r.mapped = slices.Clone(addresses)
	changed := r.publish()
	r.mu.Unlock()
	if changed {
		r.host.protocolsChanged()
	}
}

// Observed returns where the peers that are up see the node, those that most of them name first.
func (r *Reach) Observed() []Observed {
	type key struct {
		at        netip.AddrPort
		transport string
	}
	count := map[key]int{}
	for _, s := range r.sightings() {
		count[key{s.at, s.transport}]++
	}
	out := make([]Observed, 0, len(count))
	for k, n := range count {
		out = append(out, Observed{multiaddrOf(k.at, k.transport), k.transport, n})
	}
	slices.SortFunc(out, func(a, b Observed) int {
		return cmp.Or(b.Peers-a.Peers, cmp.Compare(a.Address.String(), b.Address.String()))
	})
	return out[:min(len(out), maxObserved)]
}

// Learned returns what is advertised beyond the listen addresses: what a gateway maps, and what peers agree on.
func (r *Reach) Learned() []ma.Multiaddr {
	if extra := r.extra.Load(); extra != nil {
		return slices.Clone(*extra)
	}
	return nil
}

// update counts what peers say now. The pulse loop calls it.
func (r *Reach) update(now time.Time) {
	need := r.host.cfg.Observers
	if need == 0 {
		need = defaultObservers
	}
	if need < 0 || len(r.host.cfg.External) > 0 {
		return
	}
	all := r.sightings()
	r.mu.Lock()
	if r.agreed == nil {
		r.agreed = map[agreedKey]agreedAddress{}
	}
	for k, at := range agree(all, need) {
		if old := r.agreed[k].at; old != at {
			r.host.log.Info("peers agree on where they see this node", "address", multiaddrOf(at, k.transport))
		}
		r.agreed[k] = agreedAddress{at, now}
	}
	for k, a := range r.agreed {
		switch {
		case slices.ContainsFunc(all, func(s sighting) bool {
			return s.dialed && s.at == a.at && s.transport == k.transport
		}):
			r.agreed[k] = agreedAddress{a.at, now}
		case now.Sub(a.confirmed) > agreedLife:
			delete(r.agreed, k)
		}
	}
	changed := r.publish()
	r.mu.Unlock()
	if changed {
		r.host.protocolsChanged()
	}
}

// publish makes the list of what is advertised, and reports whether it is another one. The mutex is held.
func (r *Reach) publish() bool {
	list := slices.Clone(r.mapped)
	var agreed []ma.Multiaddr
	for k, a := range r.agreed {
		if r.Status() == ReachabilityPrivate {
			break
		}
		agreed = append(agreed, multiaddrOf(a.at, k.transport))
	}
	slices.SortFunc(agreed, func(a, b ma.Multiaddr) int { return cmp.Compare(a.String(), b.String()) })
	listen := r.host.ListenAddrs()
	for _, m := range agreed {
		if has := func(o ma.Multiaddr) bool { return o.Equal(m) }; !slices.ContainsFunc(list, has) &&
			!slices.ContainsFunc(listen, has) {
			list = append(list, m)
		}
	}
	old := r.extra.Load()
	if old == nil && len(list) == 0 ||
		old != nil && slices.EqualFunc(*old, list, func(a, b ma.Multiaddr) bool { return a.Equal(b) }) {
		return false
	}
	r.extra.Store(&list)
	return true
}

// sightings returns what the peers that are up say of us.
func (r *Reach) sightings() []sighting {
	var out []sighting
	ports := r.tcpPorts()
	r.host.links.eachUp(func(l *link) {
		at, ok := addrPortOf(l.shake.Remote.Observed)
		if !ok {
			return
		}
		s := sighting{at, l.shake.Transport, transport.IPGroup(l.ip), !l.inbound}
		if s.dialed && s.transport == "tcp" {
			port := ports[at.Addr().Is4()]
			if port == 0 {
				return // we do not listen there
			}
			s.at = netip.AddrPortFrom(at.Addr(), port)
		}
		out = append(out, s)
	})
	return out
}

// tcpPorts returns the port on which we listen over TCP, in IPv4 (true) and IPv6.
func (r *Reach) tcpPorts() map[bool]uint16 {
	ports := map[bool]uint16{}
	for _, m := range r.host.ListenAddrs() {
		if _, err := m.ValueForProtocol(ma.P_TCP); err != nil {
			continue
		}
		if at, ok := addrPortOf(m.Bytes()); ok && ports[at.Addr().Is4()] == 0 {
			ports[at.Addr().Is4()] = at.Port()
		}
	}
	return ports
}

// agree returns what the peers that we have dialed agree on, for each transport and IP version: the public address that
// the most network groups name, if these are at least need and more than half. A group that names several counts for
// each, and so against each.
func agree(all []sighting, need int) map[agreedKey]netip.AddrPort {
	type vote struct {
		group netip.Prefix
		at    netip.AddrPort
	}
	votes := map[agreedKey]map[vote]bool{}
	for _, s := range all {
		if !s.dialed || !s.group.IsValid() || !transport.IsPublicIP(s.group.Addr()) {
			continue
		}
		k := agreedKey{s.transport, s.at.Addr().Is4()}
		if votes[k] == nil {
			votes[k] = map[vote]bool{}
		}
		votes[k][vote{s.group, s.at}] = true
	}
	out := map[agreedKey]netip.AddrPort{}
	for k, cast := range votes {
		count := map[netip.AddrPort]int{}
		for v := range cast {
			count[v.at]++
		}
		for at, n := range count {
			if n >= need && 2*n > len(cast) && transport.IsPublicIP(at.Addr()) && at.Port() != 0 {
				out[k] = at
			}
		}
	}
	return out
}

// addrPortOf reads the IP and port at the beginning of a binary multiaddr that a remote may have written.
func addrPortOf(raw []byte) (at netip.AddrPort, ok bool) {
	if len(raw) == 0 {
		return at, false
	}
	m, err := ma.NewMultiaddrBytes(raw)
	if err != nil || len(m) < 2 {
		return at, false
	}
	ip, ok := transport.MultiaddrIP(m)
	if code := m[1].Code(); !ok || code != ma.P_TCP && code != ma.P_UDP {
		return at, false
	}
	port := m[1].RawValue()
	return netip.AddrPortFrom(ip.Unmap().WithZone(""), uint16(port[0])<<8|uint16(port[1])), true
}

// multiaddrOf is the address over a transport.
func multiaddrOf(at netip.AddrPort, over string) ma.Multiaddr {
	if over == "quic" {
		return transport.QUICMultiaddr(at)
	}
	return transport.TCPMultiaddr(at)
}
