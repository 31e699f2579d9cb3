package noise

import "errors"

// What the remote can do wrong. Errors of Secure, Read and Write wrap these, or an error of the connection beneath:
// io.EOF (the remote hung up between messages), io.ErrUnexpectedEOF (within one), os.ErrDeadlineExceeded,
// net.ErrClosed; or they are what the Identity or CheckKey returned, a *handshake.KeyError, or a *handshake.Refusal of
// an unexpected node id.
var (
	// ErrLowOrderKey reports that a key of the remote is a low-order point, with which anyone would know the shared
	// secret.
	ErrLowOrderKey = errors.New("low-order key")
	// ErrMalformed reports that a handshake message or its payload cannot be decoded.
	ErrMalformed = errors.New("malformed handshake message")
	// ErrOversized reports that a handshake message is longer than its limit.
	ErrOversized = errors.New("oversized handshake message")
	// ErrBadSignature reports that the remote did not prove its public key.
	ErrBadSignature = errors.New("bad signature of the static key")
	// ErrDecrypt reports that a message was not sealed by the remote for this place in the stream.
	ErrDecrypt = errors.New("message does not decrypt")
	// ErrTruncated reports that a message is shorter than its tag.
	ErrTruncated = errors.New("message shorter than its tag")
	// ErrEmptyMessages reports that the remote sends messages without data, one after another.
	ErrEmptyMessages = errors.New("too many empty messages")
	// ErrNonceExhausted reports that a direction has used all its nonces; the connection cannot carry more.
	ErrNonceExhausted = errors.New("nonces exhausted")
)
