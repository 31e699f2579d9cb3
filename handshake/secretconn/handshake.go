package secretconn

import (
	"context"
	"fmt"
	"io"
	"net"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
)

// MaxEarlyData bounds Options.EarlyData, in bytes. Both ends write theirs before they read, so it must fit into the
// buffers of the connection beneath; a node info has at most 10,240 bytes.
const MaxEarlyData = 16 << 10

// Options of a handshake. The zero value is a plain one.
type Options struct {
	// CheckKey, if set, is called once the remote's key is proven. Its error ends the handshake and is returned as it
	// is.
	CheckKey func(remote handshake.PublicKey) error
	// EarlyData is sent in the same flight as our proof, as the first bytes of the stream; at most MaxEarlyData. It is
	// sealed, but for a remote that has not proven its key yet: put nothing there that is not public.
	EarlyData []byte
}

// Handshake secures conn, on the dialing and on the listening side alike. It starts no goroutine.
//
// ctx is passed to id; it does not interrupt reads and writes: the caller sets the deadline of conn, or closes it when
// ctx ends. conn must buffer what one end writes before the other end reads (as TCP does), because both ends write
// first. When the handshake fails, the caller closes conn. CheckKey decides whether the remote's key is the wanted one,
// or our own.
func Handshake(ctx context.Context, conn net.Conn, id handshake.Identity, opts Options) (*Conn, error) {
	c, err := shake(ctx, conn, id, opts)
	if err != nil && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return c, err
}

func shake(ctx context.Context, conn net.Conn, id handshake.Identity, opts Options) (*Conn, error) {
	if len(opts.EarlyData) > MaxEarlyData {
		return nil, fmt.Errorf("early data of %d bytes, at most %d", len(opts.EarlyData), MaxEarlyData)
	}
	ourKey, err := id.PublicKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("our public key: %w", err)
	}
	if ourKey.Type != handshake.Ed25519 || ourKey.IsZero() {
		return nil, fmt.Errorf("our public key: %w", ErrKeyType)
	}
	c := newConn(conn)
	s, err := c.exchangeKeys()
	if err != nil {
		return nil, err
	}
	c.reader.aead, c.writer.aead = s.receive, s.send
	copy(c.Binding[:], s.challenge[:])

	sig, err := id.Sign(ctx, handshake.SignChallenge, s.challenge[:])
	if err != nil {
		return nil, fmt.Errorf("sign the challenge: %w", err)
	}
	if len(sig) != keycrypto.Ed25519SignatureSize {
		return nil, fmt.Errorf("sign the challenge: our signature has %d bytes, want %d", len(sig),
			keycrypto.Ed25519SignatureSize)
	}
	// The writer gathers both in the same frames, and sends them with one write.
	if _, err = c.Write(encodeAuth(ourKey.Raw(), sig)); err == nil {
		if _, err = c.Write(opts.EarlyData); err == nil {
			err = c.Flush()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("send our proof: %w", err)
	}

	if c.remote, err = c.readProof(s.challenge[:]); err != nil {
		return nil, fmt.Errorf("remote's proof: %w", err)
	}
	if opts.CheckKey != nil {
		if err = opts.CheckKey(c.remote); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// exchangeKeys sends our ephemeral key, reads the remote's, and derives the secrets.
func (c *Conn) exchangeKeys() (*secrets, error) {
	private, local, err := keycrypto.NewX25519()
	if err != nil {
		return nil, fmt.Errorf("make an ephemeral key: %w", err)
	}
	defer clear(private[:])
	msg := encodeEphemeral(&local)
	if _, err = c.conn.Write(msg[:]); err != nil {
		return nil, fmt.Errorf("send our ephemeral key: %w", err)
	}
	remote, err := c.reader.readEphemeral()
	if err != nil {
		return nil, fmt.Errorf("remote's ephemeral key: %w", err)
	}
	s, err := deriveSecrets(&private, &local, &remote)
	if err != nil {
		return nil, fmt.Errorf("remote's ephemeral key: %w", err)
	}
	return s, nil
}

// readEphemeral reads the remote's first message, the only one outside of frames. What arrived behind it stays for the
// frames.
func (r *reader) readEphemeral() (key keycrypto.X25519Key, err error) {
	for {
		msg, size, err := delimited(r.buf[r.start:r.end], maxEphemeralMessage)
		if err != nil {
			return key, err
		}
		if size > 0 {
			r.start += size
			return decodeEphemeral(msg)
		}
		if err := r.fill(); err != nil {
			return key, err
		}
	}
}

// readProof reads the remote's auth message and verifies its signature of the challenge.
func (c *Conn) readProof(challenge []byte) (key handshake.PublicKey, err error) {
	msg, err := c.reader.readMessage(maxAuthMessage)
	if err != nil {
		return key, err
	}
	raw, sig, err := decodeAuth(msg)
	if err != nil {
		return key, err
	}
	if key, err = handshake.NewEd25519Key(raw); err != nil {
		return key, err
	}
	if !key.Verify(challenge, sig) {
		return handshake.PublicKey{}, ErrBadSignature
	}
	return key, nil
}

// readMessage reads one length-delimited message from the stream. It is valid until the next read; bytes behind it stay
// in the stream.
func (r *reader) readMessage(limit int) ([]byte, error) {
	data, err := r.next()
	if err != nil {
		return nil, err
	}
	var gathered []byte // the message so far, when it does not fit in one frame
	for {
		whole := data
		if gathered != nil {
			gathered = append(gathered, data...)
			whole = gathered
		}
		msg, size, err := delimited(whole, uint64(limit))
		if err != nil {
			return nil, err
		}
		if size > 0 {
			r.ready = data[len(data)-(len(whole)-size):]
			return msg, nil
		}
		if gathered == nil { // it will stay below limit and one frame more
			gathered = append(make([]byte, 0, limit+dataSize), data...)
		}
		if data, err = r.next(); err == io.EOF {
			return nil, io.ErrUnexpectedEOF
		} else if err != nil {
			return nil, err
		}
	}
}
