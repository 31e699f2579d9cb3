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

// Who is let in. For the first packet of each connection quic-go asks, on its one goroutine and before it decrypts
// anything:
//
//  1. doubts: must the remote prove its address first? A Retry costs the dialer a round trip and us one packet; we keep
//     nothing.
//  2. admit: the listener's Admit, which knows the node's budgets. A refusal costs one packet.
//
// The address of a first packet may be forged. Connections from such addresses may hold only few tickets, and only for
// a short time: one for each IP in ten seconds, Config.Unverified in all at once, each for unverifiedTime. So a flood
// of forged packets takes from the IP that it names at most one ticket for two seconds in every ten, while real dialers
// from there are asked to prove their address and then have budgets of their own. Nobody outside of the machine can
// forge a loopback address.
const (
	// unverifiedTime bounds the handshake of a connection from an address that may be forged: a few round trips.
	unverifiedTime = 2 * time.Second
	// doubtWindow is for how long a source is remembered: for one or two of these.
	doubtWindow = 10 * time.Second
	// doubtSources bounds how many sources are remembered in one window. When more come, all must validate their
	// address.
	doubtSources = 4096
	// refusedTime is for how long a refusal stands for all packets from the same IP and port. A dialer's first flight
	// is two packets with the post-quantum key exchange, and quic-go takes the second of a refused flight for a new
	// connection.
	refusedTime = 20 * time.Millisecond
	// maxRefused bounds how many refusals are remembered.
	maxRefused = 1024
	// maxAttempts bounds the handshakes in flight of a listener, whatever Admit says.
	maxAttempts = 4096
)

// doubt decides which remotes must prove their address. The listener's mutex guards it.
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

// ask reports whether the remote at ip must prove its address.
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

// doubts reports whether a connection from a must prove its address first.
func (l *listener) doubts(a net.Addr) bool {
	now, from := time.Now(), transport.AddrPortOf(a)
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused.find(from, now) == nil && l.doubt.ask(from.Addr(), now)
}

// refusals remembers whom Admit has refused just now. The listener's mutex guards it.
type refusals map[netip.AddrPort]refusal

type refusal struct {
	err   error
	until time.Time
}

// find returns the error that a was refused with, nil if it was not.
func (r refusals) find(a netip.AddrPort, now time.Time) error {
	if last, ok := r[a]; ok && now.Before(last.until) {
		return last.err
	}
	return nil
}

func (r refusals) add(a netip.AddrPort, err error, now time.Time) {
	if len(r) >= maxRefused {
		clear(r)
	}
	r[a] = refusal{err, now.Add(refusedTime)}
}

type attemptKey struct{}

// attempt is a connection in its handshake, as Admit sees it.
type attempt struct {
	l      *listener
	remote net.Addr
	doubt  bool // its address may be forged

	mu     sync.Mutex
	conn   *lib.Conn // once our part of the handshake is sent
	ticket transport.Ticket
	over   bool  // it has failed, or was interrupted
	passed bool  // the handshake is complete
	became *Conn // once passed
	late   *time.Timer
	unhook func() bool
}

// lostTicket is told to a remote whose handshake was interrupted.
const lostTicket = "another handshake took the place of this one, or its time was over"

var (
	errBusy    = errors.New("too many handshakes are in flight")
	errClosing = errors.New("the listener is closed")
)

// admit decides about a new connection. quic-go refuses it if there is an error.
func (l *listener) admit(ctx context.Context, info *lib.ClientInfo) (context.Context, error) {
	a := &attempt{l: l, remote: info.RemoteAddr}
	if err := l.enter(a, info.AddrVerified); err != nil {
		return nil, err
	}
	if l.ask != nil {
		ticket, err := l.ask(a)
		if err != nil {
			l.refuse(a, err)
			return nil, err
		}
		a.ticket = ticket
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

// enter counts an attempt in the budgets of the listener and of memory, if there is room.
func (l *listener) enter(a *attempt, verified bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch refused := l.refused.find(transport.AddrPortOf(a.remote), time.Now()); {
	case l.isClosed():
		return errClosing
	case refused != nil:
		return refused
	case l.doubt.inFlight >= maxAttempts:
		return errBusy
	}
	if err := l.t.budget.take(); err != nil {
		return err
	}
	l.doubt.inFlight++
	if a.doubt = !verified && !l.doubt.trust(remoteIP(a.remote)); a.doubt {
		l.doubt.unverified++
	}
	return nil
}

// refuse notes that Admit has refused an attempt.
func (l *listener) refuse(a *attempt, err error) {
	l.leave(a)
	l.mu.Lock()
	l.refused.add(transport.AddrPortOf(a.remote), err, time.Now())
	l.mu.Unlock()
}

// leave takes an attempt out of the budgets.
func (l *listener) leave(a *attempt) {
	l.t.budget.give(nil)
	l.mu.Lock()
	l.doubt.inFlight--
	if a.doubt {
		l.doubt.unverified--
	}
	l.mu.Unlock()
}

// finish ends the attempt, one way or the other. It reports false if the attempt has ended before. a.mu is held.
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

// attach gives the attempt its connection. It reports false, and closes the connection, if the attempt was interrupted
// before.
func (a *attempt) attach(q *lib.Conn) bool {
	a.mu.Lock()
	over := a.over
	a.conn = q
	a.mu.Unlock()
	if over {
		_ = q.CloseWithError(lib.ApplicationErrorCode(toWire(muxer.CodeTooManyStarts)), lostTicket)
	}
	return !over
}

// pass ends the attempt with a connection, and gives up the ticket to the caller. It reports false if the attempt was
// interrupted before.
func (a *attempt) pass(c *Conn) (transport.Ticket, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.finish() {
		return nil, false
	}
	if a.unhook() {
		a.l.attempts.Done()
	}
	a.passed, a.became = true, c
	t := a.ticket
	a.ticket = nil
	return t, true
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

// release releases the ticket, once.
func (a *attempt) release() {
	a.mu.Lock()
	t := a.ticket
	a.ticket = nil
	a.mu.Unlock()
	release(t)
}

// Close interrupts the handshake, or ends the connection that it has become. It does not wait: Admit may call it while
// it is asked about another connection.
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

// expire ends an attempt from an address that may be forged, at the end of its time.
func (a *attempt) expire() {
	defer a.l.attempts.Done()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.interrupt() // unless it has passed just now
}

// interrupt ends the attempt, if it has not ended, without waiting. a.mu is held.
func (a *attempt) interrupt() {
	if !a.finish() {
		return
	}
	a.over = true
	q := a.conn
	a.l.attempts.Go(func() { // gone has not been here yet, so that nobody has waited for attempts
		a.release()
		if q != nil {
			_ = q.CloseWithError(lib.ApplicationErrorCode(toWire(muxer.CodeTooManyStarts)), lostTicket)
		}
	})
}

// LocalMultiaddr implements transport.Conn.
func (a *attempt) LocalMultiaddr() ma.Multiaddr { return a.l.addr }

// RemoteMultiaddr implements transport.Conn.
func (a *attempt) RemoteMultiaddr() ma.Multiaddr { return multiaddr(a.remote) }

// RemoteIP implements transport.Conn.
func (a *attempt) RemoteIP() netip.Addr { return remoteIP(a.remote) }

// refuseInterrupted fails handshakes that were interrupted before quic-go has handed out their connection.
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
