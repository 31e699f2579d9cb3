package noise

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
	"github.com/switchyard-p2p/switchyard/muxer"
)

var errDeadline = os.ErrDeadlineExceeded

var sides = []muxer.Side{muxer.Dialer, muxer.Listener}

// payloadOf makes a payload of arbitrary fields.
func payloadOf(key, sig []byte) []byte {
	b := protowire.AppendBytes(protowire.AppendTag(nil, fieldKey, protowire.BytesType), key)
	return protowire.AppendBytes(protowire.AppendTag(b, fieldSig, protowire.BytesType), sig)
}

func rsaKey(bits int) []byte {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537})
	if err != nil {
		panic(err)
	}
	b := []byte{8, 0, 0x12}
	return protowire.AppendBytes(b, der)
}

// Every payload that does not prove a key is refused, by dialers and by listeners.
func TestBadPayload(t *testing.T) {
	form := func(p *naivePeer) []byte { return p.key.Public().AppendProto(nil) }
	sign := func(p *naivePeer, msg string) []byte {
		seed := [handshake.SeedSize]byte{1}
		if p.key == listenerKey {
			seed[0] = 2
		}
		return handshaketest.Sign(seed, []byte(msg))
	}
	right := func(p *naivePeer) []byte { return sign(p, handshake.NoiseKeyPrefix+string(p.static.Public)) }
	keyError := &handshake.KeyError{}
	for name, tc := range map[string]struct {
		make func(p *naivePeer) []byte
		want error
	}{
		"nothing":      {func(p *naivePeer) []byte { return nil }, ErrMalformed},
		"junk":         {func(p *naivePeer) []byte { return bytes.Repeat([]byte{0xff}, 300) }, ErrMalformed},
		"half":         {func(p *naivePeer) []byte { b := p.proof(); return b[:len(b)-1] }, ErrMalformed},
		"no key":       {func(p *naivePeer) []byte { return p.proof()[2+len(form(p)):] }, ErrMalformed},
		"no signature": {func(p *naivePeer) []byte { return p.proof()[:2+len(form(p))] }, ErrMalformed},
		"two keys": {func(p *naivePeer) []byte { return append(payloadOf(form(p), nil), p.proof()...) },
			ErrMalformed},
		"bad extension": {func(p *naivePeer) []byte { return append(p.proof(), 0x22, 2, 0x12, 9) }, ErrMalformed},
		"empty key":     {func(p *naivePeer) []byte { return payloadOf(nil, right(p)) }, keyError},
		"unknown type": {func(p *naivePeer) []byte { k := form(p); k[1] = 4; return payloadOf(k, right(p)) },
			keyError},
		"wrong type": {func(p *naivePeer) []byte { k := form(p); k[1] = 2; return payloadOf(k, right(p)) },
			keyError},
		"rsa, 1024":  {func(p *naivePeer) []byte { return payloadOf(rsaKey(1024), make([]byte, 128)) }, keyError},
		"rsa, 8193":  {func(p *naivePeer) []byte { return payloadOf(rsaKey(8193), make([]byte, 1025)) }, keyError},
		"rsa, 40000": {func(p *naivePeer) []byte { return payloadOf(rsaKey(40000), make([]byte, 1025)) }, keyError},
		"rsa, 8192, no signature": {func(p *naivePeer) []byte {
			return payloadOf(rsaKey(8192), make([]byte, 1024))
		}, ErrBadSignature},
		"empty signature": {func(p *naivePeer) []byte { return payloadOf(form(p), nil) }, ErrBadSignature},
		"long signature": {func(p *naivePeer) []byte { return payloadOf(form(p), append(right(p), 0)) },
			ErrBadSignature},
		"changed signature": {func(p *naivePeer) []byte {
			sig := right(p)
			sig[5] ^= 1
			return payloadOf(form(p), sig)
		}, ErrBadSignature},
		"signature of the key alone": {func(p *naivePeer) []byte {
			return payloadOf(form(p), sign(p, string(p.static.Public)))
		}, ErrBadSignature},
		"signature of another static key": {func(p *naivePeer) []byte {
			return payloadOf(form(p), sign(p, handshake.NoiseKeyPrefix+strings.Repeat("k", keySize)))
		}, ErrBadSignature},
		"another's key": {func(p *naivePeer) []byte {
			return payloadOf(handshake.NewIdentity([32]byte{9}).Public().AppendProto(nil), right(p))
		}, ErrBadSignature},
	} {
		for _, side := range sides {
			r := attackWith(t, side, func(p *naivePeer) error {
				if err := p.reach(side == muxer.Listener); err != nil {
					return err
				}
				return p.send(tc.make(p))
			}, func(s *handshake.Securing) {
				s.CheckKey = func(k handshake.PublicKey) error {
					t.Errorf("%s: asked about %v", name, k.NodeID())
					return nil
				}
			})
			var bad *handshake.KeyError
			if ok := errors.Is(r.err, tc.want) || tc.want == keyError && errors.As(r.err, &bad); !ok ||
				strings.ContainsRune(r.err.Error(), '\n') {
				t.Errorf("%s, to a %s: %v, want %v", name, side, r.err, tc.want)
			}
		}
	}
}

// Messages that are no handshake at all.
func TestBadMessages(t *testing.T) {
	for name, tc := range map[string]struct {
		bytes []byte
		want  error
	}{
		"nothing":           {nil, io.EOF},
		"half a length":     {[]byte{0}, io.ErrUnexpectedEOF},
		"half a message":    {[]byte{0, 96, 1, 2, 3}, io.ErrUnexpectedEOF},
		"empty":             {[]byte{0, 0}, ErrMalformed},
		"31 bytes":          {frame(make([]byte, 31)), ErrMalformed},
		"oversized":         {[]byte{0x20, 1}, ErrOversized},
		"65535":             {append([]byte{0xff, 0xff}, make([]byte, 65535)...), ErrOversized},
		"http":              {[]byte("GET / HTTP/1.1\r\n\r\n"), ErrOversized},
		"multistream hello": {[]byte("\x13/multistream/1.0.0\n"), io.ErrUnexpectedEOF},
		"low-order key":     {frame(make([]byte, 200)), ErrLowOrderKey},
	} {
		for _, side := range sides {
			r := attack(t, side, func(p *naivePeer) error { return p.raw(tc.bytes) })
			if !errors.Is(r.err, tc.want) && !(tc.want == io.EOF && errors.Is(r.err, io.EOF)) {
				t.Errorf("%s, to a %s: %v, want %v", name, side, r.err, tc.want)
			}
		}
	}
	// The listener's second message: anything but the right one.
	for name, tc := range map[string]struct {
		make func(p *naivePeer) []byte
		want error
	}{
		"nothing": {func(p *naivePeer) []byte { return nil }, io.EOF},
		"half": {func(p *naivePeer) []byte { m := frame(p.message(p.proof())); return m[:len(m)-1] },
			io.ErrUnexpectedEOF},
		"47 bytes":  {func(p *naivePeer) []byte { return frame(make([]byte, 47)) }, ErrMalformed},
		"junk":      {func(p *naivePeer) []byte { return frame(bytes.Repeat([]byte{7}, 200)) }, ErrDecrypt},
		"no tag":    {func(p *naivePeer) []byte { return frame(p.message(p.proof())[:48+15]) }, ErrTruncated},
		"cut":       {func(p *naivePeer) []byte { m := p.message(p.proof()); return frame(m[:len(m)-1]) }, ErrDecrypt},
		"oversized": {func(p *naivePeer) []byte { return []byte{0xff, 0xff} }, ErrOversized},
	} {
		r := attack(t, muxer.Listener, func(p *naivePeer) error {
			if err := p.reach(true); err != nil {
				return err
			}
			return p.raw(tc.make(p))
		})
		if !errors.Is(r.err, tc.want) {
			t.Errorf("third message, %s: %v, want %v", name, r.err, tc.want)
		}
	}
}

// With a low-order point anyone would know the secret (RFC 7748, section 6.1), as an ephemeral and as a static key.
func TestLowOrderKeys(t *testing.T) {
	for _, point := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
		"5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		raw, err := hex.DecodeString(point)
		if err != nil {
			t.Fatal(err)
		}
		for _, side := range sides {
			msg := bytes.Clone(raw)
			if side == muxer.Dialer {
				msg = append(msg, make([]byte, 64)...)
			}
			if r := attack(t, side, func(p *naivePeer) error { return p.raw(frame(msg)) }); !errors.Is(r.err,
				ErrLowOrderKey) {
				t.Errorf("%s, to a %s: %v", point, side, r.err)
			}
		}
		// As a static key, from a dialer that is right in all else.
		a, b := memPipe()
		done := make(chan shaken, 1)
		go func() { done <- secure(New(), b, listening()) }()
		x := &xx{symmetric: initial}
		x.e.private, x.e.public, _ = keycrypto.NewX25519()
		copy(x.s.public[:], raw)
		m, _ := x.writeE(nil, nil)
		a.Write(frame(m))
		p := &naivePeer{conn: a}
		reply, err := p.frame()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := x.readES(reply); err != nil {
			t.Fatal(err)
		}
		m, _ = x.sealAndHash(nil, x.s.public[:])
		a.Write(frame(append(m, make([]byte, 64)...)))
		if r := <-done; !errors.Is(r.err, ErrLowOrderKey) {
			t.Errorf("%s as a static key: %v", point, r.err)
		}
	}
}

// A remote that is silent, wherever in the handshake, costs us until the deadline and no longer, and leaves nothing
// behind.
func TestSilence(t *testing.T) {
	for _, side := range sides {
		for step, script := range []func(p *naivePeer) error{
			func(p *naivePeer) error { return nil },
			func(p *naivePeer) error { return p.raw([]byte{0}) },
			func(p *naivePeer) error { return p.raw([]byte{0x1f, 0xff, 1}) },
			func(p *naivePeer) error { return p.reach(side == muxer.Listener) },
			func(p *naivePeer) error {
				if err := p.reach(side == muxer.Listener); err != nil {
					return err
				}
				msg := frame(p.message(p.proof()))
				return p.raw(msg[:len(msg)-1])
			},
		} {
			synctest.Test(t, func(t *testing.T) {
				a, b := memPipe()
				opts, theirs := dialing(), listenerKey
				if side == muxer.Listener {
					opts, theirs = listening(), dialerKey
				}
				began := time.Now()
				a.SetDeadline(began.Add(5 * time.Second))
				go script(newNaivePeer(b, side == muxer.Listener, theirs))
				r := secure(New(), a, opts)
				if !errors.Is(r.err, os.ErrDeadlineExceeded) || time.Since(began) != 5*time.Second {
					t.Errorf("%s, step %d: %v after %v", side, step, r.err, time.Since(began))
				}
			})
		}
	}
}

func TestWrongID(t *testing.T) {
	other := handshake.NewIdentity([32]byte{7}).ID()
	for _, side := range sides {
		r := attackWith(t, side, func(p *naivePeer) error {
			if err := p.reach(side == muxer.Listener); err != nil {
				return err
			}
			if err := p.send(p.proof()); err != nil {
				return err
			}
			if side == muxer.Dialer {
				if msg, err := p.frame(); err != io.EOF {
					return errors.New("the dialer told who it is: " + hex.EncodeToString(msg))
				}
			}
			return nil
		}, func(s *handshake.Securing) { s.Want = other })
		var refusal *handshake.Refusal
		if !errors.As(r.err, &refusal) || refusal.Code != muxer.CodeWrongID ||
			refusal.Stage != handshake.StageSecurity {
			t.Errorf("to a %s: %v", side, r.err)
		}

		no := errors.New("not welcome")
		r = attackWith(t, side, func(p *naivePeer) error {
			if err := p.reach(side == muxer.Listener); err != nil {
				return err
			}
			return p.send(p.proof())
		}, func(s *handshake.Securing) {
			s.CheckKey = func(k handshake.PublicKey) error {
				if k.NodeID() != map[muxer.Side]handshake.PublicKey{muxer.Dialer: listenerKey.Public(),
					muxer.Listener: dialerKey.Public()}[side].NodeID() {
					t.Error("asked about another key")
				}
				return no
			}
		})
		if !errors.Is(r.err, no) {
			t.Errorf("to a %s: %v", side, r.err)
		}
	}
}

// What an Identity in another process can do to us.
func TestIdentityFails(t *testing.T) {
	broken := errors.New("the signer is gone")
	for _, id := range []handshake.Identity{brokenIdentity{key: broken}, brokenIdentity{sign: broken}} {
		a, _ := memPipe()
		opts := dialing()
		opts.Identity = id
		if r := secure(New(), a, opts); !errors.Is(r.err, broken) {
			t.Error(r.err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("shutting down"))
	a, _ := memPipe()
	a.Close()
	if _, err := New().Secure(ctx, a, dialing()); err == nil || !strings.Contains(err.Error(), "shutting down") {
		t.Error(err)
	}
}

type brokenIdentity struct{ key, sign error }

func (b brokenIdentity) PublicKey(context.Context) (handshake.PublicKey, error) {
	return dialerKey.Public(), b.key
}
func (b brokenIdentity) Sign(context.Context, handshake.Purpose, []byte) ([]byte, error) {
	return nil, b.sign
}

// A static key is signed once for many connections, for an hour, and for one identity.
func TestProofIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New()
		get := func(id handshake.Identity) proof {
			t.Helper()
			p, err := s.proofs.Get(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		first := get(dialerKey)
		time.Sleep(proofLife - time.Second)
		if get(dialerKey).static != first.static {
			t.Error("signed again within the hour")
		}
		time.Sleep(time.Second)
		if get(dialerKey).static == first.static {
			t.Error("still the same after an hour")
		}
		if p := get(listenerKey); !bytes.Contains(p.payload, listenerKey.Public().Raw()) {
			t.Error("another's proof")
		}
	})
}

// A remote that is not honest within the stream.
func TestBadStream(t *testing.T) {
	established := func(t *testing.T, after func(p *naivePeer) error) *Conn {
		r := attack(t, muxer.Listener, func(p *naivePeer) error {
			if err := p.reach(true); err != nil {
				return err
			}
			// The data goes with the last message of the handshake, in one write.
			p2, conn := *p, &gathered{Conn: p.conn}
			p2.conn = conn
			if err := p2.send(p2.proof()); err != nil {
				return err
			}
			if err := after(&p2); err != nil {
				return err
			}
			return p.raw(conn.all)
		})
		if r.err != nil {
			t.Fatal(r.err)
		}
		return r.conn
	}
	for name, tc := range map[string]struct {
		after func(p *naivePeer) error
		got   string
		want  error
	}{
		"end": {func(p *naivePeer) error { return nil }, "", nil},
		"data": {func(p *naivePeer) error { p.write([]byte("one")); return p.write([]byte("two")) },
			"onetwo", nil},
		"much data": {func(p *naivePeer) error { return p.write(bytes.Repeat([]byte("x"), MaxPlaintext)) },
			strings.Repeat("x", MaxPlaintext), nil},
		"empty ones": {func(p *naivePeer) error { p.write(nil); p.write([]byte("x")); return p.write(nil) }, "x",
			nil},
		"half a length": {func(p *naivePeer) error { p.write([]byte("x")); return p.raw([]byte{0}) }, "x",
			io.ErrUnexpectedEOF},
		"half a message": {func(p *naivePeer) error { p.write([]byte("x")); return p.raw([]byte{0, 30, 1, 2}) }, "x",
			io.ErrUnexpectedEOF},
		"half a long one": {func(p *naivePeer) error {
			return p.raw(append([]byte{0xff, 0xff}, make([]byte, 40000)...))
		}, "", io.ErrUnexpectedEOF},
		"length 0":  {func(p *naivePeer) error { return p.raw([]byte{0, 0}) }, "", ErrTruncated},
		"length 15": {func(p *naivePeer) error { return p.raw(frame(make([]byte, 15))) }, "", ErrTruncated},
		"junk":      {func(p *naivePeer) error { return p.raw(frame(make([]byte, 99))) }, "", ErrDecrypt},
		"long junk": {func(p *naivePeer) error { return p.raw(frame(make([]byte, 65535))) }, "", ErrDecrypt},
		"replayed": {func(p *naivePeer) error {
			sealed, err := p.out.Encrypt(nil, nil, []byte("once"))
			p.raw(frame(sealed))
			return errors.Join(err, p.raw(frame(sealed)))
		}, "once", ErrDecrypt},
		"flipped": {func(p *naivePeer) error {
			sealed, err := p.out.Encrypt(nil, nil, []byte("once"))
			sealed[2] ^= 1
			return errors.Join(err, p.raw(frame(sealed)))
		}, "", ErrDecrypt},
		"only empty ones": {func(p *naivePeer) error {
			for range maxEmptyMessages + 1 {
				p.write(nil)
			}
			return p.write([]byte("x"))
		}, "", ErrEmptyMessages},
	} {
		c := established(t, tc.after)
		got, err := io.ReadAll(c)
		if string(got) != tc.got || !errors.Is(err, tc.want) {
			t.Errorf("%s: %d bytes, %v; want %d, %v", name, len(got), err, len(tc.got), tc.want)
		}
		want := err
		if want == nil {
			want = io.EOF
		}
		if n, again := c.Read(make([]byte, 9)); n != 0 || again == nil || again.Error() != want.Error() {
			t.Errorf("%s: read again: %d, %v", name, n, again)
		}
		if c.reader.large != nil || len(c.reader.buf) != smallSize {
			t.Errorf("%s: the large buffer is still held", name)
		}
	}
}

// gathered keeps what is written.
type gathered struct {
	net.Conn
	all []byte
}

func (g *gathered) Write(p []byte) (int, error) {
	g.all = append(g.all, p...)
	return len(p), nil
}

// A long RSA key makes messages that do not fit into the small buffer.
func TestLongProof(t *testing.T) {
	secret, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		t.Fatal(err)
	}
	id := newRSAIdentity(t, secret)
	for _, side := range sides {
		r := attack(t, side, func(p *naivePeer) error {
			if err := p.reach(side == muxer.Listener); err != nil {
				return err
			}
			proof := appendMuxers(id.proof(p.static.Public),
				append(strings.Split(strings.Repeat("/m,", 60), ","), "/yamux/1.0.0", strings.Repeat("/x", 800)))
			msg := frame(p.message(proof))
			if len(msg) < smallSize {
				return errors.New("not long enough")
			}
			for len(msg) > 0 { // in pieces
				n := min(700, len(msg))
				if err := p.raw(msg[:n]); err != nil {
					return err
				}
				msg = msg[n:]
			}
			if side == muxer.Dialer {
				if _, err := p.receive(); err != nil {
					return err
				}
			}
			return p.write([]byte("hello"))
		})
		if r.err != nil {
			t.Fatalf("to a %s: %v", side, r.err)
		}
		if got, err := io.ReadAll(r.conn); string(got) != "hello" || err != nil {
			t.Errorf("to a %s: %q, %v", side, got, err)
		}
		if k := r.conn.RemotePublicKey(); k.Type != handshake.RSA || !strings.HasPrefix(k.PeerID(), "Qm") ||
			r.conn.Muxer() != "/yamux/1.0.0" {
			t.Errorf("%s %s %q", k.Type, k.PeerID(), r.conn.Muxer())
		}
		if len(r.conn.reader.buf) != smallSize {
			t.Error("an idle connection holds more than the small buffer")
		}
	}
}

// A length alone makes the reader claim nothing: its buffer grows with what has come.
func TestHandshakeMessageIsClaimedAsItComes(t *testing.T) {
	for _, sent := range []int{0, 100, smallSize - lengthSize, 1000, maxHandshakeMessage - 1} {
		a, b := memPipe()
		b.Write(frame(make([]byte, maxHandshakeMessage))[:lengthSize+sent])
		a.SetReadDeadline(time.Now().Add(time.Millisecond))
		c := newConn(a)
		if _, err := c.reader.handshakeMessage(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes: %v", sent, err)
		}
		if most := cap(c.reader.buf); most > max(smallSize, 2*(lengthSize+sent)) {
			t.Errorf("%d bytes: a buffer of %d", sent, most)
		}
	}
}
