package secretconn

import "errors"

// What the remote can do wrong. Errors of Handshake, Next, Read, Write and Flush wrap these, or an error of the
// connection beneath: io.EOF (the remote hung up between frames), io.ErrUnexpectedEOF (within a frame or a handshake
// message), os.ErrDeadlineExceeded, net.ErrClosed; or what the Identity or Options.CheckKey returned.
var (
	// ErrLowOrderKey reports that the remote's ephemeral key is a low-order point, with which anyone would know the
	// shared secret.
	ErrLowOrderKey = errors.New("low-order ephemeral key")
	// ErrReflected reports that the remote sent our own ephemeral key back to us.
	ErrReflected = errors.New("our own ephemeral key came back")
	// ErrMalformed reports that a handshake message cannot be decoded.
	ErrMalformed = errors.New("malformed handshake message")
	// ErrOversized reports that a handshake message is longer than its limit.
	ErrOversized = errors.New("oversized handshake message")
	// ErrNoKey reports that the remote's authentication message carries no public key.
	ErrNoKey = errors.New("no public key")
	// ErrKeyType reports that a public key, the remote's or our own, is not an ed25519 key.
	ErrKeyType = errors.New("not an ed25519 key")
	// ErrBadSignature reports that the remote did not prove its public key.
	ErrBadSignature = errors.New("bad signature of the challenge")
	// ErrDecrypt reports that a frame was not sealed by the remote for this place in the stream.
	ErrDecrypt = errors.New("frame does not decrypt")
	// ErrFrameLength reports that a frame claims more data than fits in it.
	ErrFrameLength = errors.New("frame length above 1024")
	// ErrEmptyFrames reports that the remote sends frames without data, one after another.
	ErrEmptyFrames = errors.New("too many empty frames")
	// ErrNonceExhausted reports that a direction has used all its nonces; the connection cannot carry more.
	ErrNonceExhausted = errors.New("nonces exhausted")
)
