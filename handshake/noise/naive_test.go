package noise

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/flynn/noise"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// naivePeer is a remote made of the usual library, one step at a time, so that a script can go wrong anywhere.
type naivePeer struct {
	conn    net.Conn
	hs      *noise.HandshakeState
	static  noise.DHKey
	key     *handshake.NodeKey
	in, out *noise.CipherState
}

func newNaivePeer(conn net.Conn, dialer bool, key *handshake.NodeKey) *naivePeer {
	suite := noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashSHA256)
	static, err := noise.DH25519.GenerateKeypair(rand.Reader)
	if err != nil {
		panic(err)
	}
	hs, err := noise.NewHandshakeState(noise.Config{CipherSuite: suite, Pattern: noise.HandshakeXX, Initiator: dialer,
		StaticKeypair: static})
	if err != nil {
		panic(err)
	}
	return &naivePeer{conn: conn, hs: hs, static: static, key: key}
}

// frame puts the length before a message.
func frame(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}

func (p *naivePeer) raw(b []byte) error {
	_, err := p.conn.Write(b)
	return err
}

// message makes the next handshake message.
func (p *naivePeer) message(payload []byte) []byte {
	msg, a, b, err := p.hs.WriteMessage(nil, payload)
	if err != nil {
		panic(err)
	}
	if a != nil {
		p.out, p.in = a, b // the dialer writes last
	}
	return msg
}

func (p *naivePeer) send(payload []byte) error { return p.raw(frame(p.message(payload))) }

func (p *naivePeer) frame() ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(p.conn, length[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(p.conn, msg)
	return msg, err
}

func (p *naivePeer) receive() ([]byte, error) {
	msg, err := p.frame()
	if err != nil {
		return nil, err
	}
	payload, a, b, err := p.hs.ReadMessage(nil, msg)
	if a != nil {
		p.in, p.out = a, b
	}
	return payload, err
}

// proof returns a right payload, without extensions.
func (p *naivePeer) proof() []byte {
	sig, _ := p.key.Sign(context.Background(), handshake.SignNoiseKey,
		append([]byte(handshake.NoiseKeyPrefix), p.static.Public...))
	return appendProof(nil, p.key.Public(), sig)
}

// reach brings the handshake to where the peer is to send its payload.
func (p *naivePeer) reach(dialer bool) (err error) {
	if dialer {
		if err = p.send(nil); err != nil {
			return err
		}
	}
	_, err = p.receive()
	return err
}

func (p *naivePeer) write(data []byte) error {
	sealed, err := p.out.Encrypt(nil, nil, data)
	if err != nil {
		return err
	}
	return p.raw(frame(sealed))
}

// attack runs a handshake of ours, on side, against a peer that a script drives; the peer hangs up when the script
// ends.
func attack(t *testing.T, side muxer.Side, script func(p *naivePeer) error) shaken {
	t.Helper()
	return attackWith(t, side, script, func(*handshake.Securing) {})
}

func attackWith(t *testing.T, side muxer.Side, script func(p *naivePeer) error,
	change func(*handshake.Securing)) shaken {
	t.Helper()
	opts, theirs, dialer := dialing(), listenerKey, false
	a, b := memPipe()
	if side == muxer.Listener {
		opts, theirs, dialer = listening(), dialerKey, true
	}
	change(&opts)
	for _, c := range []*handshaketest.Conn{a, b} {
		c.SetDeadline(time.Now().Add(handshaketest.Timeout))
	}
	done := make(chan error, 1)
	go func() {
		done <- script(newNaivePeer(b, dialer, theirs))
		b.CloseWrite()
	}()
	r := secure(New(), a, opts)
	if err := <-done; err != nil && r.err == nil { // where we refuse, we hang up on the peer
		t.Fatalf("the peer's script: %v", err)
	}
	if errors.Is(r.err, errDeadline) {
		t.Fatalf("nothing happened: %v", r.err)
	}
	return r
}

// appendProof appends a node key and its signature of the static key, as prove does.
func appendProof(dst []byte, key handshake.PublicKey, sig []byte) []byte {
	dst = protowire.AppendTag(dst, fieldKey, protowire.BytesType)
	dst = protowire.AppendBytes(dst, key.AppendProto(make([]byte, 0, 64)))
	dst = protowire.AppendTag(dst, fieldSig, protowire.BytesType)
	return protowire.AppendBytes(dst, sig)
}
