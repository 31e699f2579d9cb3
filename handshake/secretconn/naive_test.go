package secretconn

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"
	"net"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/curve25519"
	"golang.org/x/crypto/hkdf"
)

// naivePeer is a second implementation of the protocol, written plainly from its description with other libraries.
// Tests compare ours with it and attack ours with it.
type naivePeer struct {
	conn        net.Conn
	identity    ed25519.PrivateKey
	ephPriv     [32]byte
	ephPub      [32]byte
	sendAEAD    [32]byte
	receiveAEAD [32]byte
	sent        uint64
	received    uint64
	challenge   []byte
}

func newNaivePeer(conn net.Conn) *naivePeer {
	p := &naivePeer{conn: conn}
	_, p.identity, _ = ed25519.GenerateKey(rand.Reader)
	rand.Read(p.ephPriv[:])
	pub, err := curve25519.X25519(p.ephPriv[:], curve25519.Basepoint)
	if err != nil {
		panic(err)
	}
	copy(p.ephPub[:], pub)
	return p
}

// exchange sends ephemeral key message msg, nil for the right one, reads the remote's and derives the secrets.
func (p *naivePeer) exchange(msg []byte) error {
	if msg == nil {
		msg = append([]byte{34, 0x0a, 32}, p.ephPub[:]...)
	}
	if _, err := p.conn.Write(msg); err != nil {
		return err
	}
	theirs, err := p.readEphemeral()
	if err != nil {
		return err
	}
	return p.derive(theirs)
}

func (p *naivePeer) readEphemeral() ([]byte, error) {
	head := make([]byte, 35)
	if _, err := io.ReadFull(p.conn, head); err != nil {
		return nil, err
	}
	if head[0] != 34 || head[1] != 0x0a || head[2] != 32 {
		return nil, fmt.Errorf("ephemeral message begins with %x", head[:3])
	}
	return head[3:], nil
}

func (p *naivePeer) derive(theirs []byte) error {
	shared, err := curve25519.X25519(p.ephPriv[:], theirs)
	if err != nil {
		return err
	}
	lower, upper := p.ephPub[:], theirs
	first, second := &p.receiveAEAD, &p.sendAEAD
	if bytes.Compare(lower, upper) > 0 {
		lower, upper = upper, lower
		first, second = second, first
	}
	kdf := hkdf.New(sha256.New, shared, nil, []byte("TENDERMINT_SECRET_CONNECTION_KEY_AND_CHALLENGE_GEN"))
	io.ReadFull(kdf, first[:])
	io.ReadFull(kdf, second[:])

	m := newNaiveMerlin("TENDERMINT_SECRET_CONNECTION_TRANSCRIPT_HASH")
	m.append("EPHEMERAL_LOWER_PUBLIC_KEY", lower)
	m.append("EPHEMERAL_UPPER_PUBLIC_KEY", upper)
	m.append("DH_SECRET", shared)
	p.challenge = m.challenge("SECRET_CONNECTION_MAC", 32)
	return nil
}

func naiveNonce(count uint64) []byte {
	return binary.LittleEndian.AppendUint64(make([]byte, 4), count)
}

// sealFrame makes one frame that claims length bytes of data.
func (p *naivePeer) sealFrame(length uint32, data []byte) []byte {
	frame := make([]byte, 1028)
	binary.LittleEndian.PutUint32(frame, length)
	copy(frame[4:], data)
	aead, _ := chacha20poly1305.New(p.sendAEAD[:])
	p.sent++
	return aead.Seal(nil, naiveNonce(p.sent-1), frame, nil)
}

// frames makes the frames that carry data.
func (p *naivePeer) frames(data []byte) (frames []byte) {
	for len(data) > 0 {
		n := min(len(data), 1024)
		frames = append(frames, p.sealFrame(uint32(n), data[:n])...)
		data = data[n:]
	}
	return frames
}

func (p *naivePeer) write(data []byte) error {
	_, err := p.conn.Write(p.frames(data))
	return err
}

// read reads one frame, and checks that its padding is zero.
func (p *naivePeer) read() ([]byte, error) {
	sealed := make([]byte, 1044)
	if _, err := io.ReadFull(p.conn, sealed); err != nil {
		return nil, err
	}
	aead, _ := chacha20poly1305.New(p.receiveAEAD[:])
	frame, err := aead.Open(nil, naiveNonce(p.received), sealed, nil)
	if err != nil {
		return nil, err
	}
	p.received++
	n := binary.LittleEndian.Uint32(frame)
	if n > 1024 {
		return nil, fmt.Errorf("frame length %d", n)
	}
	if padding := frame[4+n:]; !bytes.Equal(padding, make([]byte, len(padding))) {
		return nil, fmt.Errorf("padding is not zero: %x", padding)
	}
	return frame[4 : 4+n], nil
}

// auth returns the right auth message with its prefix.
func (p *naivePeer) auth() []byte {
	return naiveAuth(p.identity.Public().(ed25519.PublicKey), ed25519.Sign(p.identity, p.challenge))
}

func naiveAuth(key, sig []byte) []byte {
	pk := append([]byte{0x0a, byte(len(key))}, key...)
	msg := append([]byte{0x0a, byte(len(pk))}, pk...)
	msg = append(append(msg, 0x12, byte(len(sig))), sig...)
	return append([]byte{byte(len(msg))}, msg...)
}

// readAuth reads and checks the remote's auth message. It returns its key and what followed in the same frame.
func (p *naivePeer) readAuth() (key ed25519.PublicKey, rest []byte, err error) {
	data, err := p.read()
	if err != nil {
		return nil, nil, err
	}
	if len(data) < 103 || data[0] != 102 || !bytes.Equal(data[1:5], []byte{0x0a, 34, 0x0a, 32}) ||
		!bytes.Equal(data[37:39], []byte{0x12, 64}) {
		return nil, nil, fmt.Errorf("auth message is %x", data)
	}
	key = data[5:37]
	if !ed25519.Verify(key, p.challenge, data[39:103]) {
		return nil, nil, fmt.Errorf("bad signature")
	}
	return key, data[103:], nil
}

// naiveMerlin is a merlin transcript (merlin.cool) over STROBE-128 (strobe.sourceforge.io, version 1.0.2), as far as we
// need it.
type naiveMerlin struct {
	state         [200]byte
	pos, posBegin byte
	strobeR       byte
}

const (
	flagI, flagA, flagC, flagM = 1, 2, 4, 16
)

func newNaiveMerlin(label string) *naiveMerlin {
	m := &naiveMerlin{strobeR: 166}
	copy(m.state[:], []byte{1, 168, 1, 0, 1, 96})
	copy(m.state[6:], "STROBEv1.0.2")
	keccakF(&m.state)
	m.operate(flagM|flagA, []byte("Merlin v1.0"), false)
	m.append("dom-sep", []byte(label))
	return m
}

func (m *naiveMerlin) append(label string, msg []byte) {
	m.operate(flagM|flagA, []byte(label), false)
	m.operate(flagM|flagA, binary.LittleEndian.AppendUint32(nil, uint32(len(msg))), true)
	m.operate(flagA, msg, false)
}

func (m *naiveMerlin) challenge(label string, size int) []byte {
	m.operate(flagM|flagA, []byte(label), false)
	m.operate(flagM|flagA, binary.LittleEndian.AppendUint32(nil, uint32(size)), true)
	m.begin(flagI | flagA | flagC)
	out := make([]byte, size)
	for i := range out {
		out[i] = m.state[m.pos]
		m.state[m.pos] = 0
		m.step()
	}
	return out
}

func (m *naiveMerlin) operate(flags byte, data []byte, more bool) {
	if !more {
		m.begin(flags)
	}
	m.absorb(data)
}

func (m *naiveMerlin) begin(flags byte) {
	old := m.posBegin
	m.posBegin = m.pos + 1
	m.absorb([]byte{old, flags})
	if flags&flagC != 0 && m.pos != 0 {
		m.runF()
	}
}

func (m *naiveMerlin) absorb(data []byte) {
	for _, b := range data {
		m.state[m.pos] ^= b
		m.step()
	}
}

func (m *naiveMerlin) step() {
	if m.pos++; m.pos == m.strobeR {
		m.runF()
	}
}

func (m *naiveMerlin) runF() {
	m.state[m.pos] ^= m.posBegin
	m.state[m.pos+1] ^= 0x04
	m.state[m.strobeR+1] ^= 0x80
	keccakF(&m.state)
	m.pos, m.posBegin = 0, 0
}

// keccakF is the permutation Keccak-f[1600] (FIPS 202, section 3).
func keccakF(state *[200]byte) {
	var a [5][5]uint64 // a[x][y]
	for i := range 25 {
		a[i%5][i/5] = binary.LittleEndian.Uint64(state[8*i:])
	}
	lfsr := byte(1)
	for range 24 {
		var c, d [5]uint64
		for x := range 5 {
			c[x] = a[x][0] ^ a[x][1] ^ a[x][2] ^ a[x][3] ^ a[x][4]
		}
		for x := range 5 {
			d[x] = c[(x+4)%5] ^ bits.RotateLeft64(c[(x+1)%5], 1)
			for y := range 5 {
				a[x][y] ^= d[x]
			}
		}
		x, y, current := 1, 0, a[1][0]
		for t := range 24 {
			x, y = y, (2*x+3*y)%5
			current, a[x][y] = a[x][y], bits.RotateLeft64(current, (t+1)*(t+2)/2%64)
		}
		for y := range 5 {
			var row [5]uint64
			for x := range 5 {
				row[x] = a[x][y]
			}
			for x := range 5 {
				a[x][y] = row[x] ^ (^row[(x+1)%5] & row[(x+2)%5])
			}
		}
		for j := range 7 { // round constants from the LFSR of FIPS 202, algorithm 5
			if lfsr&1 != 0 {
				a[0][0] ^= 1 << (1<<j - 1)
			}
			carry := lfsr & 0x80
			lfsr <<= 1
			if carry != 0 {
				lfsr ^= 0x71
			}
		}
	}
	for i := range 25 {
		binary.LittleEndian.PutUint64(state[8*i:], a[i%5][i/5])
	}
}

// TestNaiveMerlin checks the reference itself against the test vector of the merlin crate (dalek-cryptography/merlin,
// transcript.rs).
func TestNaiveMerlin(t *testing.T) {
	m := newNaiveMerlin("test protocol")
	m.append("some label", []byte("some data"))
	const want = "d5a21972d0d5fe320c0d263fac7fffb8145aa640af6e9bca177c03c7efcf0615"
	if got := hex.EncodeToString(m.challenge("challenge", 32)); got != want {
		t.Errorf("challenge %s, want %s", got, want)
	}
}
