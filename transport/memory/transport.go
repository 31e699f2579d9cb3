package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
)

// Transport is one machine's access to a Network. All methods may be called concurrently.
type Transport struct {
	net    *Network
	ip     netip.Addr // the zero Addr: none
	number uint64     // 1 for the network's first transport

	nextPort uint16 // the network's lock guards it
}

var errNoIP = fmt.Errorf("%w: this memory transport has no IP", transport.ErrNoTransport)

// Name is "memory".
func (t *Transport) Name() string { return "memory" }

// IP returns the address that the transport presents; the zero Addr when it has none.
func (t *Transport) IP() netip.Addr { return t.ip }

// CanDial reports whether addr is /memory/NUMBER or, for a transport with an IP, a host and a TCP port.
func (t *Transport) CanDial(addr ma.Multiaddr) bool {
	to, err := parse(addr)
	return err == nil && (t.ip.IsValid() || !to.ip.IsValid() && to.name == "")
}

// Listen listens on /memory/NUMBER (0: a free one) or, for a transport with an IP, on that IP or the unspecified one
// and a TCP port (0: a free one). Accept calls admit. The error is a *transport.OpError.
func (t *Transport) Listen(ctx context.Context, addr ma.Multiaddr, admit transport.Admit) (transport.Listener, error) {
	fail := func(err error) (transport.Listener, error) {
		return nil, transport.NewOpError(ctx, "listen on", addr, err)
	}
	at, err := parse(addr)
	switch {
	case err != nil || ctx.Err() != nil:
		return fail(err)
	case at.name != "":
		return fail(errors.New("want an IP address, not a host name"))
	case at.ip.IsValid() && !t.ip.IsValid():
		return fail(errNoIP)
	case at.ip.IsValid() && at.ip.IsUnspecified() && t.ip.Is4() == at.ip.Is4():
		at.ip = t.ip
	}
	if at.ip.IsValid() && at.ip != t.ip {
		return fail(syscall.EADDRNOTAVAIL)
	}
	n := t.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.number == 0 {
		at.number = t.freeLocked(at.ip)
	}
	if n.listeners[at.endpoint] != nil {
		return fail(syscall.EADDRINUSE)
	}
	shown := at.endpoint.multiaddr()
	if ip, ok := transport.MultiaddrIP(addr); ok && ip.IsUnspecified() {
		shown = endpoint{ip, at.number}.multiaddr() // as TCP shows it
	}
	l := &Listener{
		host: t, at: at.endpoint, addr: shown, admit: admit,
		backlog: make(chan *Conn, n.cfg.Backlog), done: make(chan struct{}),
	}
	n.listeners[at.endpoint] = l
	return l, nil
}

// Close does nothing: a Transport keeps nothing.
func (t *Transport) Close() error { return nil }

// freeLocked returns a free number.
func (t *Transport) freeLocked(ip netip.Addr) uint64 {
	n := t.net
	for {
		number := n.nextNumber
		if ip.IsValid() {
			number = uint64(t.portLocked())
		} else {
			n.nextNumber++
		}
		if n.listeners[endpoint{ip, number}] == nil {
			return number
		}
	}
}

// portLocked returns the next ephemeral port (RFC 6335: 49152 to 65535).
func (t *Transport) portLocked() uint16 {
	port := t.nextPort
	if t.nextPort++; t.nextPort == 0 {
		t.nextPort = 49152
	}
	return port
}

// Dial connects to a listener of the network. Its error is a *transport.OpError.
func (t *Transport) Dial(ctx context.Context, addr ma.Multiaddr) (transport.Conn, error) {
	to, err := parse(addr)
	if err == nil && !t.CanDial(addr) {
		err = errNoIP
	}
	var c *Conn
	if err == nil {
		c, err = t.dial(ctx, to)
	}
	if err != nil {
		return nil, transport.NewOpError(ctx, "dial", addr, err)
	}
	return c, nil
}

func (t *Transport) dial(ctx context.Context, to target) (*Conn, error) {
	if to.name == "" {
		return t.dialEndpoint(ctx, to.endpoint)
	}
	t.net.mu.Lock()
	ips := slices.Clone(t.net.names[to.name])
	t.net.mu.Unlock()
	err := fmt.Errorf("resolve %.80q: no address", to.name)
	for _, ip := range ips {
		if to.family == 4 && !ip.Is4() || to.family == 6 && !ip.Is6() {
			continue
		}
		var c *Conn
		if c, err = t.dialEndpoint(ctx, endpoint{ip.Unmap(), to.number}); err == nil || ctx.Err() != nil {
			return c, err
		}
	}
	return nil, err
}

// dialEndpoint takes the time of the way to the listener, where the connection is made, and of the way back.
func (t *Transport) dialEndpoint(ctx context.Context, to endpoint) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n := t.net
	n.mu.Lock()
	host := n.hostLocked(to)
	if host == nil {
		n.mu.Unlock()
		if to.ip.IsValid() {
			return nil, syscall.EHOSTUNREACH
		}
		return nil, syscall.ECONNREFUSED // no transport has this memory address
	}
	seed := n.seedLocked(t, host)
	there, back, err := n.awaitPassage(ctx, t, host)
	if err != nil {
		return nil, err
	}
	if !there.instant() || !back.instant() { // n.awaitPassage has kept the lock
		n.mu.Unlock()
		rng := rand.New(rand.NewPCG(seed[0]+1, seed[1]))
		if err := sleep(ctx, there.transit(rng)); err != nil {
			return nil, err
		}
		comeBack := func() error { return sleep(ctx, back.transit(rng)) }
		n.mu.Lock()
		l, err := n.connectLocked(ctx, t, host, to, seed)
		if waitErr := comeBack(); waitErr != nil {
			if l != nil {
				l.conns[0].Close()
			}
			return nil, waitErr
		}
		if err != nil {
			return nil, err
		}
		return &l.conns[0], nil
	}
	l, err := n.connectLocked(ctx, t, host, to, seed)
	if err != nil {
		return nil, err
	}
	return &l.conns[0], nil
}

// awaitPassage waits until both directions between two transports are up. It is called with the network locked, and
// leaves it locked exactly if it returns no error.
func (n *Network) awaitPassage(ctx context.Context, from, to *Transport) (there, back passage, err error) {
	for {
		there, back = n.passageLocked(from, to), n.passageLocked(to, from)
		if there.refuses {
			n.mu.Unlock()
			return there, back, syscall.ENETUNREACH
		}
		if !there.Down && !back.Down {
			return there, back, nil
		}
		changed := n.changeLocked()
		n.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return there, back, ctx.Err()
		}
		n.mu.Lock()
	}
}

// connectLocked makes the connection and queues it at the listener. It is called with the network locked, and unlocks
// it.
func (n *Network) connectLocked(
	ctx context.Context, from, host *Transport, to endpoint, seed [2]uint64,
) (*link, error) {
	if _, _, err := n.awaitPassage(ctx, from, host); err != nil { // it may have been cut meanwhile
		return nil, err
	}
	listener := n.listeners[to]
	if listener == nil {
		n.mu.Unlock()
		return nil, syscall.ECONNREFUSED
	}
	own := endpoint{ip: from.ip}
	if to.ip.IsValid() {
		own.number = uint64(from.portLocked())
	} else {
		own = endpoint{number: n.nextDialer}
		n.nextDialer++
	}
	l := n.linkLocked(from, host, own, to, seed)
	n.mu.Unlock()

	select {
	case listener.backlog <- &l.conns[1]:
		listener.drainIfClosed()
		return l, nil
	case <-listener.done:
		l.abandon()
		return nil, syscall.ECONNREFUSED
	case <-ctx.Done():
		l.abandon()
		return nil, ctx.Err()
	}
}

// linkLocked makes a connection under the conditions that hold now.
func (n *Network) linkLocked(from, to *Transport, at, there endpoint, seed [2]uint64) *link {
	out, back := n.passageLocked(from, to), n.passageLocked(to, from)
	l := newLink(n, [2]*Transport{from, to}, [2]endpoint{at, there}, out.Conditions, back.Conditions, seed)
	n.links[l] = struct{}{}
	return l
}

// seedLocked returns the seed of the next connection from one transport to another.
func (n *Network) seedLocked(from, to *Transport) [2]uint64 {
	p := path{from, to}
	count := n.dials[p]
	n.dials[p] = count + 1
	return [2]uint64{n.cfg.Seed ^ count<<32, from.number<<32 | to.number}
}

// hostLocked returns the transport that has an endpoint, or nil.
func (n *Network) hostLocked(e endpoint) *Transport {
	if e.ip.IsValid() {
		return n.hosts[e.ip]
	}
	if l := n.listeners[e]; l != nil {
		return l.host
	}
	return nil
}

// abandon ends a connection that no one has seen.
func (l *link) abandon() {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.net.resetLocked(l)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
