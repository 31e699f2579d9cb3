package quic

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	cryptotls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	lib "github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/tls"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// muted is a socket in memory whose owner falls silent after a number of datagrams.
type muted struct {
	*simnet.SimConn
	left atomic.Int64
}

func (c *muted) WriteTo(p []byte, to net.Addr) (int, error) {
	if c.left.Add(-1) < 0 {
		return len(p), nil
	}
	return c.SimConn.WriteTo(p, to)
}

// mutedPair is a dialer and a listener in memory, of which each sends so many datagrams and no more. It works in a
// testing/synctest bubble.
func mutedPair(t *testing.T, cfg Config, dialer, listening int64, admit transport.Admit) (*Transport, *listener) {
	t.Helper()
	var router simnet.Router = &simnet.PerfectRouter{}
	sock := func(i byte, tr *Transport, say int64) *socket {
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, i}), 1000)
		c := &muted{SimConn: simnet.NewSimConn(net.UDPAddrFromAddrPort(at), router)}
		c.left.Store(say)
		s := tr.newSocket(c, at)
		s.holders = 1
		tr.sockets[s] = struct{}{}
		t.Cleanup(s.release)
		return s
	}
	from, to := newTransport(t, cfg, dialerKey), newTransport(t, cfg, listenerKey)
	sock(1, from, dialer)
	s := sock(2, to, listening)
	s.hold()
	l, err := to.listen(s, admit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return from, l
}

func codeOf(err error) muxer.Code {
	var ce *muxer.CloseError
	if errors.As(err, &ce) {
		return ce.Code
	}
	return 0
}

const talkative = 1 << 40

// TestSilentDialer falls silent after each step of the handshake: its ticket is released soon, or the connection ends
// as idle.
func TestSilentDialer(t *testing.T) {
	for say := range int64(8) {
		t.Run(fmt.Sprint(say), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var held atomic.Int32
				tr, l := mutedPair(t, Config{}, say, talkative, func(transport.Conn) (transport.Ticket, error) {
					held.Add(1)
					return ticketFunc(func() { held.Add(-1) }), nil
				})
				dialed := make(chan struct{})
				dialing, stop := context.WithCancel(t.Context())
				go func() {
					defer close(dialed)
					if c, err := tr.Dial(dialing, l.Addr()); err == nil {
						<-dialing.Done()
						c.Close()
					}
				}()
				began := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 2*DefaultHandshakeTimeout)
				c, ticket, err := l.Accept(ctx)
				cancel()
				if err == nil {
					if why := <-watch(connOf(c)); codeOf(why) != muxer.CodeIdle {
						t.Errorf("a silent remote ended with %v", why)
					}
					ticket.Release()
					c.Close()
				}
				if took := time.Since(began); took > longest(say) {
					t.Errorf("took %v", took)
				}
				stop()
				<-dialed
				l.mu.Lock()
				inFlight, unverified := l.doubt.inFlight, l.doubt.unverified
				l.mu.Unlock()
				if n := held.Load(); n != 0 || inFlight != 0 || unverified != 0 {
					t.Errorf("%d tickets are held, %d handshakes in flight, %d of unverified addresses", n, inFlight,
						unverified)
				}
			})
		})
	}
}

// TestSilentListener falls silent after each step: the dialer gives up in time, and says why.
func TestSilentListener(t *testing.T) {
	for say := range int64(6) {
		t.Run(fmt.Sprint(say), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tr, l := mutedPair(t, Config{}, talkative, say, nil)
				began := time.Now()
				c, err := tr.Dial(t.Context(), l.Addr())
				switch {
				case err == nil:
					if why := <-watch(connOf(c)); codeOf(why) != muxer.CodeIdle {
						t.Errorf("a silent remote ended with %v", why)
					}
					c.Close()
				case codeOf(err) != muxer.CodeTimeout:
					t.Errorf("the dial failed with %v", err)
				}
				if took := time.Since(began); took > longest(say) {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// longest is how long a connection may last whose remote sends that many datagrams: the last ones may be answers to
// keep-alives.
func longest(say int64) time.Duration {
	return 2*DefaultHandshakeTimeout + DefaultIdleTimeout + time.Duration(say+1)*DefaultKeepAlive
}

type ticketFunc func()

func (f ticketFunc) Release() { f() }

// watch tells how a connection ends.
func watch(c *Conn) <-chan error {
	w := make(chan error, 1)
	go func() {
		_, err := c.Accept(context.Background())
		w <- err
	}()
	return w
}

// TestGarbage sends what is no QUIC, and what only begins like it. The listener goes on, and what it began for that
// ends.
func TestGarbage(t *testing.T) {
	for _, at := range []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/udp/0/quic-v1"} {
		t.Run(at[:4], func(t *testing.T) {
			raw, err := newTransport(t, Config{}, listenerKey).Listen(t.Context(), transporttest.Address(t, at), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			l := raw.(*listener)
			to, _ := parse(l.Addr())
			c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to.AddrPort()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			long := func(first byte, version uint32, size int) []byte {
				p := make([]byte, size)
				_, _ = rand.Read(p)
				copy(p, []byte{first, byte(version >> 24), byte(version >> 16), byte(version >> 8), byte(version), 8})
				p[14] = 8              // the length of the other connection id
				p[23] = 0              // no token
				p[24], p[25] = 0x44, 0 // a length
				return p
			}
			for i := range 200 {
				random := make([]byte, i*7)
				_, _ = rand.Read(random)
				for _, p := range [][]byte{{}, random, long(0xc3, 1, 1252), long(0xc3, 1, 100), long(0xc3, 0, 1252),
					long(0xc3, 0x6b3343cf, 1252), long(0xd3, 1, 1252), long(0xe3, 1, 1252), long(0xf3, 1, 1252)} {
					_, _ = c.Write(p)
				}
			}
			a, b := connect(t, newTransport(t, Config{}, dialerKey), l)
			a.Close()
			b.Close()
			l.Close() // ends what only began like a handshake, too
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.doubt.inFlight != 0 {
				t.Errorf("%d handshakes are in flight", l.doubt.inFlight)
			}
		})
	}
}

// TestStreamFlood opens streams and writes, against a remote that reads nothing: no more streams than are allowed, and
// no more bytes than the window.
func TestStreamFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := Config{MaxStreams: 10, StreamWindow: 16 << 10, MaxStreamWindow: 64 << 10, MaxWindow: 128 << 10}
		a, b := simulated(t, cfg)
		defer b.Close()
		defer a.Close()
		var streams []muxer.RawStream
		for {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			s, err := a.Open(ctx)
			cancel()
			if err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatal(err)
				}
				break
			}
			streams = append(streams, s)
		}
		if len(streams) != cfg.MaxStreams {
			t.Errorf("%d streams were opened, %d are allowed", len(streams), cfg.MaxStreams)
		}
		total := 0
		for _, s := range streams {
			_ = s.SetWriteDeadline(time.Now().Add(time.Second))
			n, err := s.Write(make([]byte, 1<<20))
			if !errors.Is(err, os.ErrDeadlineExceeded) || n > cfg.MaxStreamWindow {
				t.Errorf("a stream took %d bytes, then %v", n, err)
			}
			total += n
		}
		if total > cfg.MaxWindow {
			t.Errorf("%d bytes were taken, the window is %d", total, cfg.MaxWindow)
		}
		for _, s := range streams { // what is reset makes room for others
			_ = s.Reset(muxer.CodeUnknown)
		}
		for range streams {
			s, err := b.Accept(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			_ = s.Reset(muxer.CodeProtocolError)
		}
		if _, err := a.Open(t.Context()); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// libp2p's extension of certificates (libp2p/specs, tls).
var (
	libp2pExtension = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53594, 1, 1}
)

// fake is a certificate of which parts may be wrong.
type fake struct {
	bare   bool   // it names no node
	other  bool   // the node key has signed another certificate's key
	signer []byte // not nil: it is signed by another key
	old    bool   // expired
	extra  int    // bytes that nobody needs
	twice  bool   // it is there two times
}

func (f fake) make(t *testing.T) *cryptotls.Certificate {
	t.Helper()
	public, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	signed := append([]byte(handshake.CertificateKeyPrefix), spki...)
	if f.other {
		signed[len(signed)-1] ^= 1
	}
	sig, err := dialerKey.Sign(t.Context(), handshake.SignCertificateKey, signed)
	if err != nil {
		t.Fatal(err)
	}
	value, err := asn1.Marshal(struct{ Key, Sig []byte }{publicOf(dialerKey).AppendProto(nil), sig})
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{SerialNumber: "1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	if f.old {
		template.NotAfter = time.Now().Add(-time.Minute)
	}
	if !f.bare {
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: libp2pExtension, Value: value})
	}
	if f.extra > 0 {
		template.ExtraExtensions = append(template.ExtraExtensions,
			pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, f.extra)})
	}
	by := secret
	if f.signer != nil {
		by = ed25519.NewKeyFromSeed(f.signer)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, by)
	if err != nil && f.signer != nil { // the library checks: sign by hand
		der, err = x509.CreateCertificate(rand.Reader, template, template, public, secret)
		if err == nil {
			der[len(der)-1] ^= 1
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	chain := [][]byte{der}
	if f.twice {
		chain = append(chain, der)
	}
	return &cryptotls.Certificate{Certificate: chain, PrivateKey: secret}
}

// TestCertificateTricks shows certificates that are wrong, as a dialer and as a listener: nobody takes the connection.
func TestCertificateTricks(t *testing.T) {
	for name, f := range map[string]fake{
		"no node": {bare: true}, "another key is signed": {other: true}, "not self-signed": {signer: make([]byte, 32)},
		"expired": {old: true},
		"two":     {twice: true}, "20 kB": {extra: 20 << 10}, "200 kB": {extra: 200 << 10}, "1 MB": {extra: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			cert := f.make(t)
			conf := &cryptotls.Config{
				MinVersion: cryptotls.VersionTLS13, NextProtos: []string{ALPN}, InsecureSkipVerify: true,
				ClientAuth: cryptotls.RequireAnyClientCert,
				GetCertificate: func(*cryptotls.ClientHelloInfo) (*cryptotls.Certificate, error) {
					return cert, nil
				},
				GetClientCertificate: func(*cryptotls.CertificateRequestInfo) (*cryptotls.Certificate, error) {
					return cert, nil
				},
			}
			udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			evil := &lib.Transport{Conn: udp}
			defer udp.Close()
			defer evil.Close()
			raw, err := newTransport(t, Config{}, listenerKey).Listen(ctx,
				transporttest.Address(t, "/ip4/127.0.0.1/udp/0/quic-v1"), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			l := raw.(*listener)

			// the dialer's part is over before its certificate is read
			if q, err := evil.Dial(ctx, l.socket.udp.LocalAddr(), conf, &lib.Config{}); err == nil {
				<-q.Context().Done()
				err = context.Cause(q.Context())
				if f.extra == 0 && codeOf(explain(err)) != muxer.CodeAuthFailed {
					t.Errorf("the dialer is told %v", err)
				}
			}
			select {
			case a := <-l.accepted:
				t.Errorf("accepted %s", a.conn.key.PeerID())
			default:
			}

			el, err := evil.Listen(conf, &lib.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer el.Close()
			c, err := newTransport(t, Config{}, listenerKey).Dial(ctx, multiaddr(udp.LocalAddr()))
			if err == nil {
				t.Errorf("dialed %s", connOf(c).key.PeerID())
				c.Close()
			} else if f.extra == 0 && codeOf(err) != muxer.CodeAuthFailed {
				t.Errorf("the dial failed with %v", err)
			}
		})
	}
}

// TestWrongID dials a node whose configuration of TLS expects another one.
func TestWrongID(t *testing.T) {
	l, err := newTransport(t, Config{}, listenerKey).Listen(t.Context(),
		transporttest.Address(t, "/ip4/127.0.0.1/udp/0/quic-v1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tr, err := New(Config{}, Env{Identity: dialerKey, TLS: strict{tls.New(tls.Config{})}, RemoteKey: tls.RemoteKey})
	if err != nil {
		t.Fatal(err)
	}
	defer tr.Close()
	_, err = tr.Dial(t.Context(), l.Addr())
	var refusal *handshake.Refusal
	if !errors.As(err, &refusal) || refusal.Code != muxer.CodeWrongID {
		t.Errorf("the dial failed with %v", err)
	}
}

// strict takes no node but the dialer's own.
type strict struct{ *tls.Security }

func (s strict) ClientConfig(ctx context.Context, id handshake.Identity, _ transport.NodeID) (*cryptotls.Config,
	error) {
	return s.Security.ClientConfig(ctx, id, publicOf(dialerKey).NodeID())
}

// TestCloseReasons ends connections from either end: the other one is told why.
func TestCloseReasons(t *testing.T) {
	long := strings.Repeat("long ", 200)
	for _, at := range []string{"/ip4/127.0.0.1/udp/0/quic-v1", "/ip6/::1/udp/0/quic-v1"} {
		l, err := newTransport(t, Config{}, listenerKey).Listen(t.Context(), transporttest.Address(t, at), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for code, reason := range map[muxer.Code]string{muxer.CodeEvicted: "a better one has come",
			muxer.CodeTooManyPeers: "", muxer.CodeShuttingDown: "bye", muxer.CodeProtocolError: long,
			muxer.CodeUnknown: ""} {
			for _, turned := range []bool{false, true} {
				want := code
				if code == muxer.CodeUnknown { // says nothing, so it is only over
					want = muxer.CodeRemoteClosed
				}
				err := closeReason(t, l, code, reason, turned)
				for range 3 {
					if reset := new(lib.StatelessResetError); !errors.As(err, &reset) {
						break
					}
					// On a busy machine one end has forgotten the connection before the other one has read why, and
					// quic-go lets the reset that follows overtake that.
					err = closeReason(t, l, code, reason, turned)
				}
				var ce *muxer.CloseError
				if !errors.As(err, &ce) || ce.Code != want || !ce.Remote || ce.Reason != clip(reason) ||
					!errors.Is(err, net.ErrClosed) {
					t.Errorf("%v (%.20q) arrived as %v", code, reason, err)
				}
			}
		}
	}
}

// closeReason ends a connection to l with a reason, at the dialer or at the listener (turned), and returns what the
// other end hears.
func closeReason(t *testing.T, l transport.Listener, code muxer.Code, reason string, turned bool) error {
	x, y := connect(t, newTransport(t, Config{}, dialerKey), l)
	defer x.Close()
	defer y.Close()
	if turned {
		x, y = y, x
	}
	end := watch(y)
	_ = x.CloseWith(code, reason, 0)
	return <-end
}
