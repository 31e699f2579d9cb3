package secretconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

func TestHandshake(t *testing.T) {
	a, b := handshaketest.TCPPair(t)
	ra, rb := shakeBoth(a, b, Options{EarlyData: []byte("from a")}, Options{EarlyData: []byte("from b")})
	if ra.err != nil || rb.err != nil {
		t.Fatal(ra.err, rb.err)
	}
	if ra.conn.RemotePublicKey() != testKey(2).Public() || rb.conn.RemotePublicKey() != testKey(1).Public() {
		t.Error("wrong remote key")
	}
	for _, tc := range []struct {
		conn *Conn
		want string
	}{{ra.conn, "from b"}, {rb.conn, "from a"}} {
		got := make([]byte, len(tc.want))
		if _, err := io.ReadFull(tc.conn, got); err != nil || string(got) != tc.want {
			t.Errorf("early data %q, %v, want %q", got, err, tc.want)
		}
	}
}

// oneByteConn reads a byte at a time.
type oneByteConn struct {
	net.Conn
	r io.Reader
}

func (c oneByteConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// TestNaivePeer talks to the reference implementation, both ways, as the bytes arrive whole or one by one.
func TestNaivePeer(t *testing.T) {
	for _, oneByOne := range []bool{false, true} {
		for range 8 { // which key is the lower is by chance
			a, b := memPipe()
			ours := net.Conn(a)
			if oneByOne {
				ours = oneByteConn{a, iotest.OneByteReader(a)}
			}
			early := bytes.Repeat([]byte("early"), 500)
			done := make(chan error, 1)
			p := newNaivePeer(b)
			go func() {
				done <- func() error {
					if err := p.exchange(nil); err != nil {
						return err
					}
					if err := p.write(append(p.auth(), "and so on"...)); err != nil {
						return err
					}
					key, got, err := p.readAuth()
					if err != nil {
						return err
					}
					if !bytes.Equal(key, testKey(1).Public().Raw()) {
						return errors.New("another key than ours")
					}
					for len(got) < len(early)+5 {
						more, err := p.read()
						if err != nil {
							return err
						}
						got = append(got, more...)
					}
					if string(got) != string(early)+"later" {
						return errors.New("another stream than ours")
					}
					return nil
				}()
				b.Close()
			}()
			c, err := Handshake(context.Background(), ours, testKey(1), Options{EarlyData: early})
			if err != nil {
				t.Fatal(err, <-done)
			}
			if !bytes.Equal(c.RemotePublicKey().Raw(), p.identity[32:]) {
				t.Error("wrong remote key")
			}
			c.Write([]byte("later"))
			c.Flush()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if got, err := io.ReadAll(c); string(got) != "and so on" || err != nil {
				t.Errorf("read %q, %v", got, err)
			}
		}
	}
}

func TestCheckKey(t *testing.T) {
	a, b := memPipe()
	refused := errors.New("not you")
	var seen handshake.PublicKey
	check := func(k handshake.PublicKey) error { seen = k; return refused }
	ra, rb := shakeBoth(a, b, Options{CheckKey: check}, Options{})
	if !errors.Is(ra.err, refused) || ra.conn != nil {
		t.Errorf("%v, want what CheckKey returned", ra.err)
	}
	if seen != testKey(2).Public() {
		t.Error("CheckKey saw another key")
	}
	if rb.err != nil { // b is done before a refuses, and learns of it at its first read
		t.Fatal(rb.err)
	}
	if _, err := rb.conn.Next(); err != io.EOF {
		t.Errorf("%v, want io.EOF", err)
	}
}

// badIdentity fails, or gives what no wire can carry.
type badIdentity struct {
	key    handshake.PublicKey
	keyErr error
	sig    []byte
	sigErr error
}

func (id badIdentity) PublicKey(context.Context) (handshake.PublicKey, error) {
	return id.key, id.keyErr
}
func (id badIdentity) Sign(context.Context, handshake.Purpose, []byte) ([]byte, error) {
	return id.sig, id.sigErr
}

func TestBadIdentity(t *testing.T) {
	gone := errors.New("signer is gone")
	key := testKey(1).Public()
	for name, tc := range map[string]struct {
		id   handshake.Identity
		want string
	}{
		"no key":   {badIdentity{keyErr: gone}, "our public key: signer is gone"},
		"zero key": {badIdentity{}, "our public key: not an ed25519 key"},
		"key of a type": {badIdentity{key: handshake.PublicKey{Type: handshake.Secp256k1}},
			"our public key: not an ed25519 key"},
		"no signature": {badIdentity{key: key, sigErr: gone}, "sign the challenge: signer is gone"},
		"short signature": {badIdentity{key: key, sig: make([]byte, 63)},
			"sign the challenge: our signature has 63 bytes, want 64"},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := memPipe()
			b.Write(append([]byte{34, 0x0a, 32}, newNaivePeer(b).ephPub[:]...))
			if _, err := Handshake(context.Background(), a, tc.id, Options{}); err == nil || err.Error() != tc.want {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}

func TestEarlyDataTooLong(t *testing.T) {
	a, b := memPipe()
	_, err := Handshake(context.Background(), a, testKey(1), Options{EarlyData: make([]byte, MaxEarlyData+1)})
	if err == nil || !strings.Contains(err.Error(), "at most 16384") {
		t.Errorf("%v, want the limit", err)
	}
	if b.in.data.Len() != 0 {
		t.Error("something was sent")
	}
	a, b = memPipe()
	ra, rb := shakeBoth(a, b, Options{EarlyData: make([]byte, MaxEarlyData)},
		Options{EarlyData: make([]byte, MaxEarlyData)})
	if err := errors.Join(ra.err, rb.err); err != nil {
		t.Error(err)
	}
}

func TestContextEnds(t *testing.T) {
	a, _ := memPipe()
	why := errors.New("shutting down")
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := context.AfterFunc(ctx, func() { a.Close() }) // as the Upgrader does
	defer stop()
	go cancel(why)
	if _, err := Handshake(ctx, a, testKey(1), Options{}); !errors.Is(err, why) || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v, want %v and net.ErrClosed", err, why)
	}
}
