package noise

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// proofLife is for how long one static key is used for new connections, if id can sign another then.
const proofLife = time.Hour

// Security makes secured connections. Its methods may be called concurrently.
type Security struct {
	proofs handshake.Proof[proof]
}

var _ handshake.Security = (*Security)(nil)

// New makes a Security. It starts nothing.
func New() *Security {
	return &Security{handshake.Proof[proof]{Make: prove, Fresh: proofLife}}
}

// Name implements handshake.Security.
func (*Security) Name() string { return "noise" }

// Protocol implements handshake.Security.
func (*Security) Protocol() string { return Protocol }

// Keep implements handshake.Security.
func (s *Security) Keep(ctx context.Context, id handshake.Identity) { s.proofs.Keep(ctx, id) }

// proof is a static key with the node key's signature of it. It never changes.
type proof struct {
	static  keyPair
	payload []byte // with key and signature, without muxers
}

// prove makes a static key that id has signed.
func prove(ctx context.Context, id handshake.Identity, node handshake.PublicKey) (p proof, err error) {
	if p.static.private, p.static.public, err = keycrypto.NewX25519(); err != nil {
		return p, fmt.Errorf("make a static key: %w", err)
	}
	sig, err := id.Sign(ctx, handshake.SignNoiseKey, append([]byte(handshake.NoiseKeyPrefix), p.static.public[:]...))
	if err != nil {
		return p, fmt.Errorf("sign the static key: %w", err)
	}
	p.payload = protowire.AppendTag(nil, fieldKey, protowire.BytesType)
	p.payload = protowire.AppendBytes(p.payload, node.AppendProto(make([]byte, 0, 64)))
	p.payload = protowire.AppendTag(p.payload, fieldSig, protowire.BytesType)
	p.payload = protowire.AppendBytes(p.payload, sig)
	return p, nil
}

// Secure implements handshake.Security. It starts no goroutine. ctx is passed to the identity; it does not interrupt
// reads and writes. The connection is a *Conn.
func (s *Security) Secure(ctx context.Context, conn net.Conn, opts handshake.Securing) (_ handshake.SecureConn,
	err error) {
	defer func() {
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("%w: %w", context.Cause(ctx), err)
		}
	}()
	proof, err := s.proofs.Get(ctx, opts.Identity)
	if err != nil {
		return nil, err
	}
	payload := slices.Clip(proof.payload)
	if len(opts.Muxers) > 0 {
		payload = appendMuxers(payload, opts.Muxers)
		if n := len(payload) - len(proof.payload); n > maxOurMuxers {
			return nil, fmt.Errorf("our list of muxers has %d bytes, at most %d", n, maxOurMuxers)
		}
	}
	h := &hand{Conn: newConn(conn), xx: xx{symmetric: initial, s: proof.static}, opts: opts, payload: payload}
	defer h.wipe()
	if h.e.private, h.e.public, err = keycrypto.NewX25519(); err != nil {
		return nil, fmt.Errorf("make an ephemeral key: %w", err)
	}
	if opts.Side == muxer.Dialer {
		err = h.dial()
	} else {
		err = h.listen()
	}
	if err != nil {
		return nil, err
	}
	if opts.Side == muxer.Dialer {
		h.split(&h.writer.cipher, &h.reader.cipher)
	} else {
		h.split(&h.reader.cipher, &h.writer.cipher)
	}
	h.reader.resize(h.reader.end - h.reader.start) // what came behind the last message stays for Read
	return h.Conn, nil
}

// hand is a connection in its handshake.
type hand struct {
	*Conn
	xx
	opts    handshake.Securing
	payload []byte // what we tell of ourselves
}

func (h *hand) dial() error {
	if err := h.send(h.writeE, nil); err != nil {
		return fmt.Errorf("send our ephemeral key: %w", err)
	}
	if err := h.receive(h.readES); err != nil {
		return fmt.Errorf("listener's proof: %w", err)
	}
	if err := h.send(h.writeS, h.payload); err != nil {
		return fmt.Errorf("send our proof: %w", err)
	}
	return nil
}

func (h *hand) listen() error {
	msg, err := h.reader.handshakeMessage()
	if err == nil {
		_, err = h.readE(msg) // a payload here would be in the clear: nobody may rely on it
	}
	if err != nil {
		return fmt.Errorf("dialer's ephemeral key: %w", err)
	}
	if err := h.send(h.writeES, h.payload); err != nil {
		return fmt.Errorf("send our proof: %w", err)
	}
	if err := h.receive(h.readS); err != nil {
		return fmt.Errorf("dialer's proof: %w", err)
	}
	return nil
}

// send writes the next handshake message.
func (h *hand) send(write func(dst, payload []byte) ([]byte, error), payload []byte) error {
	buf := shortPool.Get().(*[shortSize]byte)
	defer shortPool.Put(buf)
	msg, err := write(buf[:lengthSize], payload) // one that is longer is moved elsewhere
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(msg, uint16(len(msg)-lengthSize))
	_, err = h.Conn.Conn.Write(msg)
	return err
}

// receive reads the handshake message in which the remote proves its key, verifies the proof, and asks whether that key
// is welcome.
func (h *hand) receive(open func(msg []byte) ([]byte, error)) error {
	msg, err := h.reader.handshakeMessage()
	if err != nil {
		return err
	}
	plain, err := open(msg)
	if err != nil {
		return err
	}
	p, err := decodePayload(plain)
	if err != nil {
		return err
	}
	key, err := handshake.ParsePublicKey(p.key)
	if err != nil {
		return err
	}
	var signed [len(handshake.NoiseKeyPrefix) + keySize]byte
	copy(signed[copy(signed[:], handshake.NoiseKeyPrefix):], h.rs[:])
	if !key.Verify(signed[:], p.sig) {
		return ErrBadSignature
	}
	h.remote = key
	h.muxer = chooseMuxer(h.opts.Side == muxer.Dialer, h.opts.Muxers, p.muxers)
	if want := h.opts.Want; want != "" && h.remote.NodeID() != want {
		return &handshake.Refusal{Code: muxer.CodeWrongID, Stage: handshake.StageSecurity,
			Reason: fmt.Sprintf("expected node %s, found %s", want, h.remote.NodeID())}
	}
	if h.opts.CheckKey != nil {
		return h.opts.CheckKey(h.remote)
	}
	return nil
}
