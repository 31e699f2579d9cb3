package noise

import (
	"crypto/sha256"
	"fmt"

	"github.com/switchyard-p2p/switchyard/internal/keycrypto"
)

// keyPair is an X25519 key.
type keyPair struct {
	private, public keycrypto.X25519Key
}

// symmetric is the SymmetricState of the specification: what both ends have hashed and agreed on so far.
type symmetric struct {
	cipher cipherState
	ck, h  [keySize]byte
}

// initial is how every handshake begins. The name has just the length of a hash, and libp2p has no prologue.
var initial = symmetric{ck: [keySize]byte([]byte(noiseName)), h: sha256.Sum256([]byte(noiseName))}

// mixHash sets h to SHA-256(h, data).
func (s *symmetric) mixHash(data []byte) {
	var buf [smallSize]byte // most of what is hashed is short, and then nothing is allocated
	s.h = sha256.Sum256(append(append(buf[:0], s.h[:]...), data...))
}

// mixDH mixes the secret that our private key and the remote's public key share into the key.
func (s *symmetric) mixDH(private, public *keycrypto.X25519Key) error {
	var shared keycrypto.X25519Key
	defer clear(shared[:])
	if !keycrypto.X25519(&shared, private, public) {
		return ErrLowOrderKey
	}
	var key [keySize]byte
	s.ck, key = hkdf2(&s.ck, shared[:])
	s.cipher.setKey(&key)
	clear(key[:])
	return nil
}

// sealAndHash appends plain, sealed under the key so far, to dst.
func (s *symmetric) sealAndHash(dst, plain []byte) ([]byte, error) {
	out, err := s.cipher.seal(dst, plain, s.h[:])
	if err != nil {
		return nil, err
	}
	s.mixHash(out[len(dst):])
	return out, nil
}

// openAndHash opens sealed in place.
func (s *symmetric) openAndHash(sealed []byte) ([]byte, error) {
	h := s.h
	s.mixHash(sealed)
	return s.cipher.open(sealed[:0], sealed, h[:])
}

// xx is one end's state of the handshake. The dialer calls writeE, readES and writeS, the listener readE, writeES and
// readS, then both split. Write methods append to dst; read methods open in place and return the payload.
type xx struct {
	symmetric
	e, s   keyPair             // our ephemeral and our static key
	re, rs keycrypto.X25519Key // the remote's
}

// writeE writes the first message. Its payload, of which libp2p has none, is in the clear.
func (x *xx) writeE(dst, payload []byte) ([]byte, error) {
	x.mixHash(x.e.public[:])
	return x.sealAndHash(append(dst, x.e.public[:]...), payload)
}

func (x *xx) readE(msg []byte) (payload []byte, err error) {
	if len(msg) < keySize {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrMalformed, len(msg), keySize)
	}
	copy(x.re[:], msg)
	x.mixHash(x.re[:])
	return x.openAndHash(msg[keySize:])
}

func (x *xx) writeES(dst, payload []byte) ([]byte, error) {
	dst = append(dst, x.e.public[:]...)
	x.mixHash(x.e.public[:])
	if err := x.mixDH(&x.e.private, &x.re); err != nil { // ee
		return nil, err
	}
	dst, err := x.sealAndHash(dst, x.s.public[:])
	if err != nil {
		return nil, err
	}
	if err := x.mixDH(&x.s.private, &x.re); err != nil { // es
		return nil, err
	}
	return x.sealAndHash(dst, payload)
}

func (x *xx) readES(msg []byte) (payload []byte, err error) {
	const size = keySize + keySize + tagSize
	if len(msg) < size {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrMalformed, len(msg), size)
	}
	copy(x.re[:], msg)
	x.mixHash(x.re[:])
	if err := x.mixDH(&x.e.private, &x.re); err != nil { // ee
		return nil, err
	}
	static, err := x.openAndHash(msg[keySize:size])
	if err != nil {
		return nil, err
	}
	copy(x.rs[:], static)
	if err := x.mixDH(&x.e.private, &x.rs); err != nil { // es
		return nil, err
	}
	return x.openAndHash(msg[size:])
}

func (x *xx) writeS(dst, payload []byte) ([]byte, error) {
	dst, err := x.sealAndHash(dst, x.s.public[:])
	if err != nil {
		return nil, err
	}
	if err := x.mixDH(&x.s.private, &x.re); err != nil { // se
		return nil, err
	}
	return x.sealAndHash(dst, payload)
}

func (x *xx) readS(msg []byte) (payload []byte, err error) {
	const size = keySize + tagSize
	if len(msg) < size {
		return nil, fmt.Errorf("%w: %d bytes, at least %d", ErrMalformed, len(msg), size)
	}
	static, err := x.openAndHash(msg[:size])
	if err != nil {
		return nil, err
	}
	copy(x.rs[:], static)
	if err := x.mixDH(&x.e.private, &x.rs); err != nil { // se
		return nil, err
	}
	return x.openAndHash(msg[size:])
}

// split sets the keys of the two directions.
func (x *xx) split(toListener, toDialer *cipherState) {
	a, b := hkdf2(&x.ck, nil)
	toListener.setKey(&a)
	toDialer.setKey(&b)
	clear(a[:])
	clear(b[:])
}

// wipe forgets all secrets of the handshake. The static key has its own life elsewhere.
func (x *xx) wipe() {
	clear(x.e.private[:])
	clear(x.s.private[:])
	clear(x.ck[:])
	x.cipher.aead = nil
}
