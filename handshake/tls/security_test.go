package tls

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

func TestMuxers(t *testing.T) {
	a, b, c := "/a", "/b", "/c"
	for _, tc := range []struct {
		dialer, listener []string
		want             string
	}{
		{[]string{a}, []string{a}, a},
		{[]string{a, b}, []string{b, a}, a},
		{[]string{b, a}, []string{c, a, b}, b},
		{[]string{c, a}, []string{b, a}, a},
		{[]string{a}, []string{b}, ""},
		{nil, []string{a}, ""},
		{[]string{a}, nil, ""},
		{nil, nil, ""},
	} {
		x, y := memPipe()
		d, l := securing(muxer.Dialer), securing(muxer.Listener)
		d.Muxers, l.Muxers = tc.dialer, tc.listener
		d.Want, l.Want = listenerKey.ID(), dialerKey.ID()
		rd, rl := secureBoth(x, y, d, l)
		if err := errors.Join(rd.err, rl.err); err != nil {
			t.Fatal(err)
		}
		if rd.conn.Muxer() != tc.want || rl.conn.Muxer() != tc.want {
			t.Errorf("%v and %v: %q and %q, want %q", tc.dialer, tc.listener, rd.conn.Muxer(), rl.conn.Muxer(), tc.want)
		}
		if rd.conn.RemotePublicKey() != listenerKey.Public() || rl.conn.RemotePublicKey() != dialerKey.Public() {
			t.Error("keys")
		}
	}
	for _, bad := range []string{"", ALPN, strings.Repeat("x", 256)} {
		x, _ := memPipe()
		d := securing(muxer.Dialer)
		d.Muxers = []string{bad}
		if r := secure(New(Config{}), x, d); r.err == nil {
			t.Errorf("%q was offered", bad)
		}
	}
}

// A remote that falls silent anywhere in the handshake is given up at the deadline; junk is refused at once.
func TestSilenceAndJunk(t *testing.T) {
	for _, side := range sides {
		// What an honest remote sends, to be cut anywhere.
		x, y := memPipe()
		rec := &recorder{Conn: y}
		if side == muxer.Listener {
			rec.Conn = x
			secureBoth(rec, y, securing(muxer.Dialer), securing(muxer.Listener))
		} else {
			secureBoth(x, rec, securing(muxer.Dialer), securing(muxer.Listener))
		}
		for _, n := range []int{0, 1, 5, 6, 100, len(rec.all) / 2, len(rec.all) - 1} {
			synctest.Test(t, func(t *testing.T) {
				a, b := memPipe()
				began := time.Now()
				a.SetDeadline(began.Add(5 * time.Second))
				b.Write(rec.all[:n])
				r := secure(New(Config{}), a, securing(side))
				// The bytes are of another handshake: a record that does not decrypt is refused at once.
				if r.err == nil || time.Since(began) != 5*time.Second && errors.Is(r.err, os.ErrDeadlineExceeded) {
					t.Errorf("to a %s, %d bytes: %v after %v", side, n, r.err, time.Since(began))
				}
				if n < 6 && !errors.Is(r.err, os.ErrDeadlineExceeded) {
					t.Errorf("to a %s, %d bytes: %v", side, n, r.err)
				}
			})
		}
		for _, junk := range []string{"GET / HTTP/1.1\r\n\r\n", "\x13/multistream/1.0.0\n",
			strings.Repeat("\xff", 1<<16), "\x16\x03\x01\x40\x00" + strings.Repeat("\x01", 1<<14), ""} {
			a, b := memPipe()
			io.WriteString(b, junk)
			b.CloseWrite()
			if r := secure(New(Config{}), a, securing(side)); r.err == nil {
				t.Errorf("to a %s: %.20q", side, junk)
			}
		}
	}
}

type recorder struct {
	net.Conn
	all []byte
}

func (r *recorder) Write(p []byte) (int, error) {
	r.all = append(r.all, p...)
	return r.Conn.Write(p)
}

// A certificate serves many connections, for half a day, and one identity.
func TestCertificateIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{})
		first, err := s.own.Get(t.Context(), dialerKey)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(certLife - time.Second)
		if c, _ := s.own.Get(t.Context(), dialerKey); c != first {
			t.Error("made again within its life")
		}
		time.Sleep(time.Second)
		second, _ := s.own.Get(t.Context(), dialerKey)
		if second == first {
			t.Error("still the same after its life")
		}
		if c, _ := s.own.Get(t.Context(), listenerKey); c == second {
			t.Error("another's certificate")
		}
	})
}

// We show a certificate that the remote can verify, ed25519 if possible.
func TestCertificateForTheRemote(t *testing.T) {
	own, err := New(Config{}).own.Get(t.Context(), dialerKey)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		schemes []tls.SignatureScheme
		want    x509.PublicKeyAlgorithm
	}{
		{[]tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.Ed25519}, x509.Ed25519},
		{[]tls.SignatureScheme{tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256}, x509.ECDSA},
	} {
		cert, err := x509.ParseCertificate(own.choose(c.schemes).Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		key, err := VerifyCertificates([]*x509.Certificate{cert}, time.Now())
		if err != nil || key != dialerKey.Public() || cert.PublicKeyAlgorithm != c.want {
			t.Errorf("%v: %v, %v", c.schemes, cert.PublicKeyAlgorithm, err)
		}
	}
}

type brokenIdentity struct{ key, sign error }

func (b brokenIdentity) PublicKey(context.Context) (handshake.PublicKey, error) {
	return dialerKey.Public(), b.key
}
func (b brokenIdentity) Sign(context.Context, handshake.Purpose, []byte) ([]byte, error) {
	return nil, b.sign
}

func TestIdentityFails(t *testing.T) {
	broken := errors.New("the signer is gone")
	for _, id := range []handshake.Identity{brokenIdentity{key: broken}, brokenIdentity{sign: broken}} {
		a, _ := memPipe()
		opts := securing(muxer.Dialer)
		opts.Identity = id
		if r := secure(New(Config{}), a, opts); !errors.Is(r.err, broken) {
			t.Error(r.err)
		}
		if _, err := New(Config{}).ClientConfig(t.Context(), id, ""); !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("shutting down"))
	a, _ := memPipe()
	a.Close()
	if _, err := New(Config{}).Secure(ctx, a, securing(muxer.Dialer)); err == nil ||
		!strings.Contains(err.Error(), "shutting down") {
		t.Error(err)
	}
}

// The configurations for QUIC, here over a byte connection.
func TestConfigs(t *testing.T) {
	for _, want := range []*handshake.NodeKey{nil, listenerKey, dialerKey} {
		a, b := memPipe()
		s := New(Config{})
		id := listenerKey.ID()[:0]
		if want != nil {
			id = want.ID()
		}
		config, err := s.ClientConfig(t.Context(), dialerKey, id)
		if err != nil {
			t.Fatal(err)
		}
		client, server := tls.Client(a, config), tls.Server(b, New(Config{}).ServerConfig(listenerKey))
		done := make(chan error, 1)
		go func() {
			err := server.Handshake()
			if err != nil {
				b.Close()
			}
			done <- err
		}()
		err = client.Handshake()
		if want == dialerKey {
			var refusal *handshake.Refusal
			if !errors.As(err, &refusal) || refusal.Code != muxer.CodeWrongID {
				t.Error(err)
			}
			a.Close()
			<-done
			continue
		}
		if err := errors.Join(err, <-done); err != nil {
			t.Fatal(err)
		}
		for conn, key := range map[*tls.Conn]*handshake.NodeKey{client: listenerKey, server: dialerKey} {
			state := conn.ConnectionState()
			if k, err := RemoteKey(state); err != nil || k != key.Public() ||
				state.NegotiatedProtocol != ALPN || state.DidResume {
				t.Errorf("%v, %v, %q", k, err, state.NegotiatedProtocol)
			}
		}
	}
	if _, err := RemoteKey(tls.ConnectionState{}); !errors.Is(err, ErrCertificate) {
		t.Error(err)
	}
}

// Bytes arrive as they were sent, whatever the sizes of writes and reads, both ways at once, over TCP.
func TestStream(t *testing.T) {
	x, y := handshaketest.TCPPair(t)
	cx, cy := securedPair(t, x, y)
	rnd := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, 3<<20)
	for i := range data {
		data[i] = byte(rnd.Uint32())
	}
	var group sync.WaitGroup
	for i, pair := range [][2]*Conn{{cx, cy}, {cy, cx}} {
		from, to := pair[0], pair[1]
		group.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 3))
			for left := data; len(left) > 0; {
				n := min(1+rnd.IntN(1<<rnd.IntN(20)), len(left))
				if k, err := from.Write(left[:n]); k != n || err != nil {
					t.Errorf("wrote %d of %d: %v", k, n, err)
					return
				}
				left = left[n:]
			}
			from.CloseWrite()
		})
		group.Go(func() {
			if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, data) {
				t.Errorf("read %d bytes: %v", len(got), err)
			}
		})
	}
	group.Wait()
}

type failingConn struct {
	net.Conn
	left int
}

func (f *failingConn) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return len(p) / 2, os.ErrDeadlineExceeded
	}
	return len(p), nil
}

// A write that fails has sent a part of a record: nothing may follow it.
func TestWriteFails(t *testing.T) {
	for left := range 4 {
		x, y := memPipe()
		cx, _ := securedPair(t, x, y)
		cx.under.Conn = &failingConn{Conn: x, left: left}
		if n, err := cx.Write(make([]byte, 250_000)); n == 250_000 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d, %v", n, err)
		}
		cx.under.Conn = &failingConn{Conn: x, left: 9}
		for _, n := range []int{1, 100_000} {
			if k, err := cx.Write(make([]byte, n)); k != 0 || err == nil {
				t.Errorf("then %d, %v", k, err)
			}
		}
		if cx.under.buf != nil {
			t.Error("a buffer is still held")
		}
	}
}

// crypto/tls takes a cut between records for an end; a cut within a record is an error.
func TestTruncated(t *testing.T) {
	x, y := memPipe()
	cx, cy := securedPair(t, x, y)
	cx.Write([]byte("hello"))
	cx.under.gather() // nothing goes out before a flush
	cx.Conn.Write([]byte("world"))
	x.Write(cx.under.buf[:cx.under.n-1])
	x.Close()
	if got, err := io.ReadAll(cy); string(got) != "hello" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q, %v", got, err)
	}
	x, y = memPipe()
	_, cy = securedPair(t, x, y)
	x.Write(append([]byte{23, 3, 3, 0, 40}, make([]byte, 40)...))
	if n, err := cy.Read(make([]byte, 9)); n != 0 || err == nil {
		t.Errorf("junk: %d, %v", n, err)
	}
}
