package eclipse

import (
	"errors"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/peerstore"
)

const codeFull = muxer.CodeTooManyPeers

var errUnreachable = errors.New("i/o timeout")

// victim is the node under attack: a real store and a real peer manager. It does itself what a router and peer exchange
// would do.
type victim struct {
	w       *world
	store   peerstore.Store
	manager *peers.Manager
	down    bool // between two runs
	dialing int
	links   map[uint64]*link
	last    uint64 // link
	taken   quota
	run     int // how often it has started
}

// link is a link of the victim.
type link struct {
	id      uint64
	peer    node
	inbound bool
	feeler  bool
}

func newVictim(w *world) *victim {
	v := &victim{w: w, store: w.attack.Policy.store(w.attack.Seed), links: map[uint64]*link{}, taken: quota{}}
	v.start()
	for range bootstrap {
		v.manager.Add(w.honest.any(), peerstore.Source{Kind: "dns"})
	}
	return v
}

func (v *victim) start() {
	v.run++
	cfg := v.w.attack.Policy.config()
	cfg.MaxOutbound, cfg.Seed = Slots, v.w.attack.Seed*1000+uint64(v.run)
	m, err := peers.New(self, cfg, v.store)
	if err != nil {
		panic(err) // a mistake in a policy
	}
	v.manager, v.down, v.dialing = m, false, 0
}

// restart ends all links, as a shutdown does, and starts again over the same store half a minute later.
func (v *victim) restart() {
	v.down = true
	defer func() {
		if f, ok := v.store.(*flatStore); ok {
			f.restarted()
		}
	}()
	for id := uint64(1); id <= v.last; id++ { // in order, so that a run repeats
		if l := v.links[id]; l != nil {
			v.end(l, &host.DisconnectError{Code: muxer.CodeShuttingDown})
		}
	}
	v.w.after(30*time.Second, v.start)
}

// look acts as the router's loops: it makes the dials and evictions that the manager wants.
func (v *victim) look() {
	for !v.down && v.dialing < 16 {
		d, ok := v.manager.TryDialNext()
		if !ok {
			break
		}
		v.dialing++
		v.dial(d)
	}
	for !v.down {
		e, ok := v.manager.TryEvictNext()
		if !ok {
			return
		}
		if l := v.links[e.LinkID]; l != nil {
			v.end(l, e.Reason)
		}
	}
}

// dial lets a dial take its time and end as the remote decides.
func (v *victim) dial(d peers.Dial) {
	m, w := v.manager, v.w
	n := node{addr: d.Addresses[0], his: isHis(d.ID)}
	took, err := dialTime, error(nil)
	switch {
	case n.his:
	case !w.honest.isOnline(d.ID, time.Since(w.began)):
		took, err = dialTimeout, errUnreachable
	case w.random.Float64() >= hasRoom:
		err = refused()
	}
	w.after(took, func() {
		if v.manager != m || v.down { // it has restarted
			return
		}
		v.dialing--
		if err != nil {
			m.DialFailed(d.ID, []peers.DialFailure{{Address: n.addr, Err: err}})
			return
		}
		ip, _ := n.addr.IP()
		l := v.newLink(n, false)
		a := peers.Arrival{ID: d.ID, Side: muxer.Dialer, Dialed: n.addr, IP: ip, LinkID: l.id, Confirms: true}
		if err := m.Arrived(a); err != nil {
			delete(v.links, l.id)
			return
		}
		v.up(l)
		if !n.his {
			v.endsAfter(l, w.lasting(honestLink), nil)
		}
	})
}

// accept links a caller for as long as it stays, then calls next. A refused caller tries again later.
func (v *victim) accept(n node, stay time.Duration, next func()) {
	if v.down { // it comes again with the restart
		return
	}
	ip, _ := n.addr.IP()
	l := v.newLink(n, true)
	a := peers.Arrival{ID: n.addr.ID(), Side: muxer.Listener, IP: ip, LinkID: l.id, Confirms: true}
	if err := v.manager.Arrived(a); err != nil {
		delete(v.links, l.id)
		v.w.after(time.Minute+v.w.soon(time.Minute), next)
		return
	}
	v.up(l)
	v.manager.Add(n.addr, peerstore.Source{Kind: "inbound", From: n.addr.ID(), IP: ip}) // what its node info claims
	v.endsAfter(l, stay, next)
}

func (v *victim) newLink(n node, inbound bool) *link {
	v.last++
	l := &link{id: v.last, peer: n, inbound: inbound}
	v.links[l.id] = l
	return l
}

// up makes a link ready. Peer exchange asks outbound peers at once and inbound ones after a while; services find some
// messages useful.
func (v *victim) up(l *link) {
	id := l.peer.addr.ID()
	v.manager.Established(id, l.id)
	v.manager.Ready(id, l.id, l.id, []byte{0})
	first := time.Second
	if l.inbound {
		first = askInterval/2 + v.w.soon(askInterval)
	}
	v.w.after(first, func() { v.ask(l) })
	v.w.after(v.w.soon(usefulInterval), func() { v.useful(l) })
}

func (v *victim) endsAfter(l *link, d time.Duration, next func()) {
	m := v.manager
	v.w.after(d, func() {
		if v.links[l.id] != l || v.manager != m {
			return
		}
		v.end(l, &host.DisconnectError{Code: muxer.CodeTransport, Remote: true})
		if next != nil {
			next()
		}
	})
}

func (v *victim) end(l *link, reason *host.DisconnectError) {
	delete(v.links, l.id)
	v.manager.Disconnected(l.peer.addr.ID(), l.id, reason)
}

// useful reports good messages of a peer: always of the attacker's, half the time of honest ones.
func (v *victim) useful(l *link) {
	if v.links[l.id] != l {
		return
	}
	if l.peer.his || v.w.random.IntN(2) == 0 {
		v.manager.Report(l.peer.addr.ID(), host.Behaviour{Points: usefulPoints})
		if f, ok := v.store.(*flatStore); ok {
			f.useful(l.peer.addr.ID())
		}
	}
	v.w.after(usefulInterval, func() { v.useful(l) })
}

// outbound counts the attacker's outbound links, and all of them.
func (v *victim) outbound() (his, all int) {
	for _, l := range v.links {
		if !l.inbound && !l.feeler {
			all++
			if l.peer.his {
				his++
			}
		}
	}
	return his, all
}

// known returns how many peers the store has, and the attacker's share of them.
func (v *victim) known() (n int, his float64) {
	v.store.Range(func(r peerstore.Record) bool {
		n++
		if isHis(r.ID) {
			his++
		}
		return true
	})
	return n, his / float64(max(1, n))
}
