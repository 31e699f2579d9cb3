package secretconn

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
)

// attack runs a handshake of ours against a naivePeer that a script drives; the peer hangs up when the script ends.
func attack(t *testing.T, script func(*naivePeer) error) (*Conn, error) {
	t.Helper()
	a, b := memPipe()
	a.SetDeadline(time.Now().Add(handshaketest.Timeout))
	b.SetDeadline(time.Now().Add(handshaketest.Timeout))
	done := make(chan error, 1)
	go func() {
		done <- script(newNaivePeer(b))
		b.CloseWrite()
	}()
	c, err := Handshake(context.Background(), a, testKey(1), Options{})
	if err != nil {
		a.Close()
	}
	if scriptErr := <-done; scriptErr != nil && err == nil { // where we refuse, we hang up on the peer
		t.Fatalf("the peer's script: %v", scriptErr)
	}
	return c, err
}

func varint(n uint64) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func TestBadEphemeralMessage(t *testing.T) {
	key := func(p *naivePeer) []byte { return append([]byte{0x0a, 32}, p.ephPub[:]...) }
	for name, tc := range map[string]struct {
		make func(p *naivePeer) []byte
		want error
	}{
		"silence": {func(p *naivePeer) []byte { return nil }, io.EOF},
		"half": {func(p *naivePeer) []byte { return append([]byte{34}, key(p)[:20]...) },
			io.ErrUnexpectedEOF},
		"zero length": {func(p *naivePeer) []byte { return []byte{0} }, ErrMalformed},
		"31-byte key": {func(p *naivePeer) []byte { return append([]byte{33, 0x0a, 31}, p.ephPub[1:]...) },
			ErrMalformed},
		"33-byte key": {func(p *naivePeer) []byte { return append([]byte{35, 0x0a, 33, 0}, p.ephPub[:]...) },
			ErrMalformed},
		"inner length": {func(p *naivePeer) []byte { return append([]byte{34, 0x0a, 33}, p.ephPub[:]...) },
			ErrMalformed},
		"wire type": {func(p *naivePeer) []byte { return []byte{2, 0x08, 32} }, ErrMalformed},
		"257 bytes": {func(p *naivePeer) []byte { return append([]byte{0x81, 0x02}, make([]byte, 257)...) },
			ErrOversized},
		"a gigabyte":     {func(p *naivePeer) []byte { return []byte{0x80, 0x80, 0x80, 0x80, 0x04} }, ErrOversized},
		"endless varint": {func(p *naivePeer) []byte { return bytes.Repeat([]byte{0xff}, 64) }, ErrMalformed},
		"http": {func(p *naivePeer) []byte {
			return []byte("GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,text/plain\r\n" +
				"Connection: close\r\n\r\n")
		}, ErrMalformed},
		"multistream hello": {func(p *naivePeer) []byte { return []byte("\x13/multistream/1.0.0\n") }, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := attack(t, func(p *naivePeer) error {
				_, err := p.conn.Write(tc.make(p))
				return err
			})
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
}

// TestOtherEncodings shows that every valid encoding of the handshake's messages passes.
func TestOtherEncodings(t *testing.T) {
	for name, tc := range map[string]struct{ eph, auth func(p *naivePeer) []byte }{
		"long varints": {func(p *naivePeer) []byte {
			return append([]byte{0xa3, 0x80, 0x00, 0x0a, 0xa0, 0x00}, p.ephPub[:]...)
		}, nil},
		"unknown fields": {func(p *naivePeer) []byte {
			return append([]byte{40, 0x10, 0x07, 0x0a, 32}, append(p.ephPub[:], 0x1a, 2, 1, 2)...)
		}, func(p *naivePeer) []byte {
			msg := append(p.auth()[1:], 0x18, 0x01, 0x22, 1, 9)
			return append(varint(uint64(len(msg))), msg...)
		}},
		"signature first": {nil, func(p *naivePeer) []byte {
			msg := p.auth()[1:]
			return append([]byte{102}, append(bytes.Clone(msg[36:]), msg[:36]...)...)
		}},
		"long auth message": {nil, func(p *naivePeer) []byte {
			msg := append(p.auth()[1:], 0x2a)
			msg = append(append(msg, varint(900)...), make([]byte, 900)...)
			return append(varint(uint64(len(msg))), msg...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := attack(t, func(p *naivePeer) error {
				var eph []byte
				if tc.eph != nil {
					eph = tc.eph(p)
				}
				if err := p.exchange(eph); err != nil {
					return err
				}
				auth := p.auth()
				if tc.auth != nil {
					auth = tc.auth(p)
				}
				for _, b := range auth[:5] { // a frame a byte at first, so that the message crosses frames
					if err := p.write([]byte{b}); err != nil {
						return err
					}
				}
				return p.write(append(auth[5:], "rest"...))
			})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(c); string(got) != "rest" || err != nil {
				t.Errorf("read %q, %v, want the rest", got, err)
			}
		})
	}
}

func TestLowOrderEphemeralKey(t *testing.T) {
	for _, point := range lowOrderPoints {
		_, err := attack(t, func(p *naivePeer) error {
			_, err := p.conn.Write(append([]byte{34, 0x0a, 32}, unhex(t, point)...))
			return err
		})
		if !errors.Is(err, ErrLowOrderKey) {
			t.Errorf("%s: %v, want ErrLowOrderKey", point, err)
		}
	}
}

// TestReflection plays back to us what we send.
func TestReflection(t *testing.T) {
	_, err := attack(t, func(p *naivePeer) error {
		theirs, err := p.readEphemeral()
		if err != nil {
			return err
		}
		_, err = p.conn.Write(append([]byte{34, 0x0a, 32}, theirs...))
		return err
	})
	if !errors.Is(err, ErrReflected) {
		t.Errorf("ephemeral key: %v, want ErrReflected", err)
	}

	_, err = attack(t, func(p *naivePeer) error {
		if err := p.exchange(nil); err != nil {
			return err
		}
		frame := make([]byte, sealedSize)
		if _, err := io.ReadFull(p.conn, frame); err != nil {
			return err
		}
		_, err := p.conn.Write(frame)
		return err
	})
	if !errors.Is(err, ErrDecrypt) {
		t.Errorf("sealed auth message: %v, want ErrDecrypt", err)
	}

	// Our own proof, sealed for us, does prove a key: our own, which CheckKey refuses (the Upgrader's does).
	c, err := attack(t, func(p *naivePeer) error {
		if err := p.exchange(nil); err != nil {
			return err
		}
		auth, err := p.read()
		if err != nil {
			return err
		}
		return p.write(auth)
	})
	if err != nil || c.RemotePublicKey() != testKey(1).Public() {
		t.Errorf("resealed auth message: %v, want our own key", err)
	}
}

func TestBadAuthMessage(t *testing.T) {
	valid := func(p *naivePeer) ed25519.PublicKey { return p.identity.Public().(ed25519.PublicKey) }
	sign := func(p *naivePeer) []byte { return ed25519.Sign(p.identity, p.challenge) }
	prefixed := func(msg []byte) []byte { return append(varint(uint64(len(msg))), msg...) }
	sigField := func(p *naivePeer) []byte { return append([]byte{0x12, 64}, sign(p)...) }
	for name, tc := range map[string]struct {
		make func(p *naivePeer) []byte
		want error
	}{
		"silence": {func(p *naivePeer) []byte { return nil }, io.EOF},
		"half":    {func(p *naivePeer) []byte { return p.auth()[:50] }, io.ErrUnexpectedEOF},
		"empty":   {func(p *naivePeer) []byte { return []byte{0} }, ErrNoKey},
		"nil key": {func(p *naivePeer) []byte { return prefixed(sigField(p)) }, ErrNoKey},
		"empty key": {func(p *naivePeer) []byte { return prefixed(append([]byte{0x0a, 0}, sigField(p)...)) },
			ErrNoKey},
		"key as varint": {func(p *naivePeer) []byte { return prefixed(append([]byte{0x08, 0}, sigField(p)...)) },
			ErrMalformed},
		"key of 0 bytes": {func(p *naivePeer) []byte { return naiveAuth(nil, sign(p)) }, ErrMalformed},
		"key of 33":      {func(p *naivePeer) []byte { return naiveAuth(make([]byte, 33), sign(p)) }, ErrMalformed},
		"secp256k1 key": {func(p *naivePeer) []byte {
			msg := append([]byte{0x0a, 35, 0x12, 33}, make([]byte, 33)...)
			return prefixed(append(msg, sigField(p)...))
		}, ErrKeyType},
		"bls key": {func(p *naivePeer) []byte {
			msg := append([]byte{0x0a, 98, 0x1a, 96}, make([]byte, 96)...)
			return prefixed(append(msg, sigField(p)...))
		}, ErrKeyType},
		"two key types": {func(p *naivePeer) []byte {
			msg := append([]byte{0x0a, 69, 0x0a, 32}, valid(p)...)
			msg = append(append(msg, 0x12, 33), make([]byte, 33)...)
			return prefixed(append(msg, sigField(p)...))
		}, ErrKeyType},
		"two keys": {func(p *naivePeer) []byte { return prefixed(append(p.auth()[1:37], p.auth()[1:]...)) },
			ErrMalformed},
		"no signature":    {func(p *naivePeer) []byte { return prefixed(p.auth()[1:37]) }, ErrBadSignature},
		"short signature": {func(p *naivePeer) []byte { return naiveAuth(valid(p), sign(p)[:63]) }, ErrBadSignature},
		"long signature": {func(p *naivePeer) []byte { return naiveAuth(valid(p), append(sign(p), 0)) },
			ErrBadSignature},
		"zero signature": {func(p *naivePeer) []byte { return naiveAuth(valid(p), make([]byte, 64)) },
			ErrBadSignature},
		"another's key": {func(p *naivePeer) []byte { return naiveAuth(testKey(3).Public().Raw(), sign(p)) },
			ErrBadSignature},
		"another challenge": {func(p *naivePeer) []byte {
			return naiveAuth(valid(p), ed25519.Sign(p.identity, make([]byte, 32)))
		}, ErrBadSignature},
		// With the neutral element as key, the neutral element and 0 are a signature of anything, for a lenient
		// verifier.
		"small-order key": {func(p *naivePeer) []byte {
			neutral := make([]byte, 32)
			neutral[0] = 1
			return naiveAuth(neutral, append(bytes.Clone(neutral), make([]byte, 32)...))
		}, ErrBadSignature},
		"1025 bytes":   {func(p *naivePeer) []byte { return prefixed(make([]byte, 1025)) }, ErrOversized},
		"2^62 bytes":   {func(p *naivePeer) []byte { return varint(1 << 62) }, ErrOversized},
		"not a varint": {func(p *naivePeer) []byte { return bytes.Repeat([]byte{0xff}, 20) }, ErrMalformed},
		"not protobuf": {func(p *naivePeer) []byte { return prefixed(bytes.Repeat([]byte{0xff}, 20)) }, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := attack(t, func(p *naivePeer) error {
				if err := p.exchange(nil); err != nil {
					return err
				}
				return p.write(tc.make(p))
			})
			if !errors.Is(err, tc.want) || !strings.HasPrefix(err.Error(), "remote's proof: ") {
				t.Errorf("%v, want remote's proof: %v", err, tc.want)
			}
		})
	}
}

func TestBadFrameInHandshake(t *testing.T) {
	for name, tc := range map[string]struct {
		make func(p *naivePeer) []byte
		want error
	}{
		"truncated":       {func(p *naivePeer) []byte { return p.frames(p.auth())[:1043] }, io.ErrUnexpectedEOF},
		"length 1025":     {func(p *naivePeer) []byte { return p.sealFrame(1025, p.auth()) }, ErrFrameLength},
		"length 2^32-1":   {func(p *naivePeer) []byte { return p.sealFrame(1<<32-1, p.auth()) }, ErrFrameLength},
		"empty frames":    {func(p *naivePeer) []byte { return emptyFrames(p, 1000) }, ErrEmptyFrames},
		"skipped a frame": {func(p *naivePeer) []byte { p.sent++; return p.frames(p.auth()) }, ErrDecrypt},
		"in the clear":    {func(p *naivePeer) []byte { return append(p.auth(), make([]byte, 1044)...) }, ErrDecrypt},
		"random":          {func(p *naivePeer) []byte { return bytes.Repeat([]byte{0x55}, 1044) }, ErrDecrypt},
		"key of our sends": {func(p *naivePeer) []byte { p.sendAEAD = p.receiveAEAD; return p.frames(p.auth()) },
			ErrDecrypt},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := attack(t, func(p *naivePeer) error {
				if err := p.exchange(nil); err != nil {
					return err
				}
				_, err := p.conn.Write(tc.make(p))
				return err
			})
			if !errors.Is(err, tc.want) {
				t.Errorf("%v, want %v", err, tc.want)
			}
		})
	}
	if _, err := attack(t, func(p *naivePeer) error { // some empty frames are no attack
		if err := p.exchange(nil); err != nil {
			return err
		}
		_, err := p.conn.Write(append(emptyFrames(p, maxEmptyFrames), p.frames(p.auth())...))
		return err
	}); err != nil {
		t.Errorf("%d empty frames: %v", maxEmptyFrames, err)
	}
}

func emptyFrames(p *naivePeer, n int) (frames []byte) {
	for range n {
		frames = append(frames, p.sealFrame(0, nil)...)
	}
	return frames
}

// TestReplay plays the bytes of an honest handshake to another of ours.
func TestReplay(t *testing.T) {
	var recorded []byte
	if _, err := attack(t, func(p *naivePeer) error {
		if err := p.exchange(nil); err != nil {
			return err
		}
		frames := p.frames(p.auth())
		recorded = append(append([]byte{34, 0x0a, 32}, p.ephPub[:]...), frames...)
		_, err := p.conn.Write(frames)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	_, err := attack(t, func(p *naivePeer) error {
		_, err := p.conn.Write(recorded)
		return err
	})
	if !errors.Is(err, ErrDecrypt) {
		t.Errorf("%v, want ErrDecrypt", err)
	}
}

// TestBitFlips turns over one bit in every byte of what an honest remote sends in a handshake.
func TestBitFlips(t *testing.T) {
	for i := range ephemeralMessageSize + sealedSize {
		bit := byte(1) << (i % 8)
		if i == ephemeralMessageSize-1 {
			bit = 0x80 // the bit that X25519 ignores: only the transcript sees it
		}
		_, err := attack(t, func(p *naivePeer) error {
			eph := append([]byte{34, 0x0a, 32}, p.ephPub[:]...)
			if i < len(eph) {
				eph[i] ^= bit
			}
			if err := p.exchange(eph); err != nil {
				return err
			}
			frame := p.frames(p.auth())
			if i >= len(eph) {
				frame[i-len(eph)] ^= bit
			}
			_, err := p.conn.Write(frame)
			return err
		})
		if err == nil {
			t.Errorf("bit %#x of byte %d: no error", bit, i)
		}
	}
}

// TestSilence shows that a remote that stops anywhere is left at the deadline.
func TestSilence(t *testing.T) {
	const limit = 3 * time.Second
	for _, stop := range []int{0, 1, 2, 3, 20, 34, 35, 36, 600, 35 + 1043} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			a, b := memPipe()
			a.SetDeadline(start.Add(limit))
			p := newNaivePeer(b)
			flight := append([]byte{34, 0x0a, 32}, p.ephPub[:]...)
			b.Write(flight[:min(stop, len(flight))])
			done := make(chan error, 1)
			go func() {
				theirs, err := p.readEphemeral()
				if err == nil {
					err = p.derive(theirs)
				}
				if err == nil && stop > len(flight) {
					_, err = b.Write(p.frames(p.auth())[:stop-len(flight)])
				}
				done <- err
			}()
			_, err := Handshake(t.Context(), a, testKey(1), Options{})
			if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != limit {
				t.Errorf("silence after %d bytes: %v after %v, want the deadline after %v", stop, err,
					time.Since(start), limit)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}
