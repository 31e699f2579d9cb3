package quic

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	lib "github.com/quic-go/quic-go"
)

// linger is how long a socket that was opened for a dial stays open when nobody uses it any more: a node that only
// dials would else open one for each.
const linger = 10 * time.Second

// socket is a UDP socket and what quic-go does with it. Listeners, connections and dials hold it; when the last one
// lets go it is closed, or soon after.
type socket struct {
	t    *Transport
	udp  net.PacketConn
	at   netip.AddrPort // where it is bound; its IP may be unspecified
	quic *lib.Transport

	listener atomic.Pointer[listener]

	broken atomic.Bool // quic-go has given it up after an error of the socket

	// Transport.mu guards what follows.
	holders int
	dials   bool        // it was opened for dials, so it stays for a while when nobody holds it: see release
	unused  *time.Timer // set, if not fired, while nobody holds it
}

func (t *Transport) newSocket(udp net.PacketConn, at netip.AddrPort) *socket {
	s := &socket{t: t, udp: udp, at: at}
	s.quic = &lib.Transport{
		Conn:               udp,
		ConnectionIDLength: connIDSize,
		StatelessResetKey:  &t.reset,
		VerifySourceAddress: func(a net.Addr) bool {
			l := s.listener.Load()
			return l != nil && l.doubts(a)
		},
		ConnContext: func(ctx context.Context, info *lib.ClientInfo) (context.Context, error) {
			l := s.listener.Load()
			if l == nil {
				return nil, net.ErrClosed
			}
			return l.admit(ctx, info)
		},
	}
	return s
}

func openUDP(at netip.AddrPort) (*net.UDPConn, error) {
	network := "udp4"
	if at.Addr().Is6() {
		network = "udp6" // so that /ip4/0.0.0.0 and /ip6/:: can share a port
	}
	return net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
}

// bind finds or opens the socket for a listener, and holds it.
func (t *Transport) bind(at netip.AddrPort) (*socket, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range t.sockets { // one whose listener was closed, and that has connections still
		if at.Port() != 0 && s.at == at {
			if s.listener.Load() != nil {
				return nil, syscall.EADDRINUSE
			}
			s.take()
			return s, nil
		}
	}
	return t.open(at)
}

// open opens a socket and holds it; mu is held. (Binding a socket does not block.)
func (t *Transport) open(at netip.AddrPort) (*socket, error) {
	udp, err := openUDP(at)
	if err != nil {
		return nil, err
	}
	local := udp.LocalAddr().(*net.UDPAddr).AddrPort()
	fast, err := fastUDP(udp)
	if err != nil {
		_ = udp.Close()
		return nil, err
	}
	s := t.newSocket(fast, netip.AddrPortFrom(local.Addr().Unmap(), local.Port()))
	s.holders = 1
	t.sockets[s] = struct{}{}
	return s, nil
}

// reach finds or opens the socket to dial a target from, and holds it.
func (t *Transport) reach(to netip.Addr) (*socket, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var best *socket
	for s := range t.sockets {
		if s.suits(to) && (best == nil || s.listener.Load() != nil && best.listener.Load() == nil) {
			best = s
		}
	}
	if best != nil {
		best.take()
		return best, nil
	}
	any := netip.IPv4Unspecified()
	if to.Is6() {
		any = netip.IPv6Unspecified()
	}
	s, err := t.open(netip.AddrPortFrom(any, 0))
	if err == nil {
		s.dials = true
	}
	return s, err
}

// suits says whether packets to that address can be sent from the socket: it is not bound to an IP, or to one of the
// same kind.
func (s *socket) suits(to netip.Addr) bool {
	at := s.at.Addr()
	switch {
	case s.broken.Load(), at.Is4() != to.Is4():
		return false
	case at.IsUnspecified():
		return true
	case at.IsLoopback(), to.IsLoopback():
		return at.IsLoopback() && to.IsLoopback()
	case at.IsLinkLocalUnicast(), to.IsLinkLocalUnicast():
		return at.IsLinkLocalUnicast() && to.IsLinkLocalUnicast()
	}
	return true
}

// hold is for a further user of a socket that is held.
func (s *socket) hold() {
	s.t.mu.Lock()
	s.holders++
	s.t.mu.Unlock()
}

// take holds a socket that nobody may hold any more. Transport.mu is held.
func (s *socket) take() {
	s.holders++
	if s.unused != nil && s.unused.Stop() {
		s.t.timers.Done()
	}
}

// release lets go of the socket. If nobody holds it any more, it is closed; one that was opened for dials only if
// nobody takes it for a while.
func (s *socket) release() {
	s.t.mu.Lock()
	s.holders--
	last := s.holders == 0
	if last && s.dials && !s.t.closed && !s.broken.Load() {
		last = false
		s.t.timers.Add(1)
		if s.unused == nil {
			s.unused = time.AfterFunc(linger, s.expire)
		} else {
			s.unused.Reset(linger)
		}
	}
	if last {
		delete(s.t.sockets, s)
	}
	s.t.mu.Unlock()
	if last {
		s.close()
	}
}

// expire closes the socket if nobody has taken it in the meantime.
func (s *socket) expire() {
	defer s.t.timers.Done()
	s.t.mu.Lock()
	_, open := s.t.sockets[s]
	last := open && s.holders == 0
	if last {
		delete(s.t.sockets, s)
	}
	s.t.mu.Unlock()
	if last {
		s.close()
	}
}

func (s *socket) close() {
	_ = s.quic.Close() // it waits for its goroutines, which read from udp
	_ = s.udp.Close()
}

// Close closes the sockets that are kept for later dials, and keeps none from now on. What is in use stays open. It may
// be called more than once.
func (t *Transport) Close() error {
	var unused []*socket
	t.mu.Lock()
	t.closed = true
	for s := range t.sockets {
		if s.holders == 0 {
			if s.unused.Stop() {
				t.timers.Done()
			}
			delete(t.sockets, s)
			unused = append(unused, s)
		}
	}
	t.mu.Unlock()
	for _, s := range unused {
		s.close()
	}
	t.timers.Wait()
	return nil
}
