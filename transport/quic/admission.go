package quic

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	lib "github.com/quic-go/quic-go"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Who is let in. For each first packet of a connection quic-go asks, on its one goroutine and before anything is decrypted:
//
//  1. doubts: must the address be validated first? A Retry costs the dialer a round trip and us one packet, and nothing is kept.
//  2. admit: the guard, that is the node's budgets. A refusal costs one packet.
//
// An address that is not validated may be forged. Such connections may hold only few places, and only for a short time: one of each IP in ten seconds,
// Config.Unverified in all at once, each for unverifiedTime. So a flood of forged packets takes little of what it wants to take: from the IP that it
// names at most one place for two seconds in every ten, while real dialers from there are asked to validate their address, and then have their own budgets.
// Loopback addresses cannot be forged from outside of the machine.
const (
	// unverifiedTime bounds the handshake of a connection from an address that may be forged: a few round trips.
	unverifiedTime = 2 * time.Second
	// doubtWindow is for how long a source is remembered: for one or two of these.
	doubtWindow = 10 * time.Second
	// doubtSources bounds how many sources are remembered in one window. When more come, all must validate their address.
	doubtSources = 4096
	// maxAttempts bounds the handshakes in flight of a listener, whatever the guard says.
	maxAttempts = 4096
)

// doubt decides which addresses must be validated. The listener's mutex guards it.
type doubt struct {
	limit      int // connections from addresses that may be forged, in their handshake
	unverified int
	inFlight   int
	began      time.Time
	now, last  map[netip.Prefix]struct{} // sources of this window, and of the one before
	trust      func(netip.Addr) bool     // whose addresses cannot be forged
}

func newDoubt(limit int) doubt { return doubt{limit: limit, trust: netip.Addr.IsLoopback} }

// source is what one sender can freely choose within: an IPv4 address, or an IPv6 /64.
func source(ip netip.Addr) netip.Prefix {
	bits := 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the bits fit
	return p
}

// ask says whether the address must be validated.
func (d *doubt) ask(ip netip.Addr, now time.Time) bool {
	if d.trust(ip) {
		return false
	}
	if now.Sub(d.began) >= doubtWindow {
		d.last = d.now
		if now.Sub(d.began) >= 2*doubtWindow {
			d.last = nil
		}
		d.now, d.began = nil, now
	}
	key := source(ip)
	_, recent := d.now[key]
	_, before := d.last[key]
	if recent || before || len(d.now) >= doubtSources || d.unverified >= d.limit {
		return true
	}
	if d.now == nil {
		d.now = make(map[netip.Prefix]struct{})
	}
	d.now[key] = struct{}{}
	return false
}

// doubts says whether a connection from there must validate its address first.
func (l *listener) doubts(a net.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.doubt.ask(remoteIP(a), time.Now())
}

type attemptKey struct{}

// attempt is a connection in its handshake. It is what the guard sees of it.
type attempt struct {
	l      *listener
	remote net.Addr
	doubt  bool // its address may be forged

	mu     sync.Mutex
	conn   *lib.Conn // once our part of the handshake is sent
	place  transport.Pass
	over   bool  // it has failed, or was interrupted
	passed bool  // the handshake is complete
	became *Conn // once passed
	late   *time.Timer
	unhook func() bool
}

// lostPlace is told to a remote whose handshake was interrupted.
const lostPlace = "the place of the handshake was given to another one, or its time was over"

var (
	errBusy    = errors.New("too many handshakes are in flight")
	errClosing = errors.New("the listener is closed")
)

// admit asks the guard about a new connection. quic-go refuses it if there is an error.
func (l *listener) admit(ctx context.Context, info *lib.ClientInfo) (context.Context, error) {
	a := &attempt{l: l, remote: info.RemoteAddr}
	l.mu.Lock()
	guard := l.guard
	a.doubt = !info.AddrVerified && !l.doubt.trust(remoteIP(info.RemoteAddr))
	select {
	case <-l.closing:
		l.mu.Unlock()
		return nil, errClosing
	default:
	}
	if l.doubt.inFlight >= maxAttempts {
		l.mu.Unlock()
		return nil, errBusy
	}
	l.doubt.inFlight++
	if a.doubt {
		l.doubt.unverified++
	}
	l.mu.Unlock()
	if guard != nil {
		place, err := guard(a)
		if err != nil {
			l.leave(a)
			return nil, err
		}
		a.place = place
	}
	ctx = context.WithValue(ctx, attemptKey{}, a)
	l.attempts.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unhook = context.AfterFunc(ctx, a.gone)
	if a.doubt {
		l.attempts.Add(1) // until expire has run, or finish has stopped the timer
		a.late = time.AfterFunc(unverifiedTime, a.expire)
	}
	return ctx, nil
}

// leave gives the place in the listener's own budget back.
func (l *listener) leave(a *attempt) {
	l.mu.Lock()
	l.doubt.inFlight--
	if a.doubt {
		l.doubt.unverified--
	}
	l.mu.Unlock()
}

// finish ends the attempt, one way or the other; mu is held. It says false if that has happened before.
func (a *attempt) finish() bool {
	if a.over || a.passed {
		return false
	}
	if a.late != nil && a.late.Stop() {
		a.l.attempts.Done()
	}
	a.l.leave(a)
	return true
}

// gone is called when the connection is gone before its handshake was complete.
func (a *attempt) gone() {
	a.mu.Lock()
	failed := a.finish()
	a.over = a.over || failed
	a.mu.Unlock()
	if failed {
		a.release()
	}
	a.l.attempts.Done()
}

// attach gives the attempt its connection. It says false, and closes the connection, if the attempt was interrupted before.
func (a *attempt) attach(q *lib.Conn) bool {
	a.mu.Lock()
	over := a.over
	a.conn = q
	a.mu.Unlock()
	if over {
		_ = q.CloseWithError(lib.ApplicationErrorCode(toWire(muxer.CodeTooManyStarts)), lostPlace)
	}
	return !over
}

// pass ends the attempt with a connection. It says false if the attempt was interrupted before.
func (a *attempt) pass(c *Conn) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.finish() {
		return false
	}
	if a.unhook() {
		a.l.attempts.Done()
	}
	a.passed, a.became = true, c
	return true
}

// end interrupts the attempt.
func (a *attempt) end(code muxer.Code, reason string) {
	a.mu.Lock()
	failed := a.finish()
	a.over = a.over || failed
	q := a.conn
	a.mu.Unlock()
	if failed {
		a.release()
	}
	if q != nil {
		_ = q.CloseWithError(lib.ApplicationErrorCode(toWire(code)), reason)
	}
}

// release gives the guard's place back, once.
func (a *attempt) release() {
	a.mu.Lock()
	place := a.place
	a.place = nil
	a.mu.Unlock()
	if place != nil {
		place.Release()
	}
}

// Close interrupts the handshake, or ends the connection that it has become, without waiting: the guard's owner may call it while it is asked about
// another connection.
func (a *attempt) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.passed {
		a.became.interrupt()
	} else {
		a.interrupt()
	}
	return nil
}

// expire is called when an attempt from an address that may be forged has taken long enough.
func (a *attempt) expire() {
	defer a.l.attempts.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.interrupt() // unless it has passed just now
}

// interrupt ends the attempt, if it has not ended, without waiting. mu is held.
func (a *attempt) interrupt() {
	if !a.finish() {
		return
	}
	a.over = true
	q := a.conn
	a.l.attempts.Go(func() { // gone has not been here yet, so that nobody has waited for attempts
		a.release()
		if q != nil {
			_ = q.CloseWithError(lib.ApplicationErrorCode(toWire(muxer.CodeTooManyStarts)), lostPlace)
		}
	})
}

// LocalMultiaddr implements transport.Conn.
func (a *attempt) LocalMultiaddr() ma.Multiaddr { return a.l.addr }

// RemoteMultiaddr implements transport.Conn.
func (a *attempt) RemoteMultiaddr() ma.Multiaddr { return multiaddr(a.remote) }

// RemoteIP is the remote's IP address, IPv4-mapped ones as IPv4.
func (a *attempt) RemoteIP() netip.Addr { return remoteIP(a.remote) }

// refuseInterrupted makes handshakes fail that were interrupted before quic-go has told us of their connection.
func refuseInterrupted(c *tls.Config) {
	next := c.GetCertificate
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if a, _ := hello.Context().Value(attemptKey{}).(*attempt); a != nil {
			a.mu.Lock()
			over := a.over
			a.mu.Unlock()
			if over {
				return nil, errBusy
			}
		}
		if next == nil {
			return nil, errors.New("quic: the configuration of TLS has no GetCertificate")
		}
		return next(hello)
	}
}
