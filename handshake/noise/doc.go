// Package noise secures a byte connection as libp2p nodes do under the name /noise: the XX handshake of the Noise
// protocol with X25519, ChaCha20-Poly1305 and SHA-256, in whose payloads both ends prove their node keys, and then
// messages of at most 65,535 bytes.
//
// Every message on the wire is a big-endian uint16 length, then that many bytes:
//
//	-> e                                         the dialer's ephemeral key
//	<- e, ee, s, es, payload                     the listener's keys, and who it is
//	-> s, se, payload                            the dialer's, likewise
//	then, in both directions, at most 65,519 bytes of data and a 16-byte tag
//
// A payload carries the public key, its signature of the sender's static Noise key, and the stream muxers that the
// sender offers. The listener sends its list without knowing the dialer's; both take the dialer's first that the
// listener has too.
//
// The handshake is written here, on the X25519 and the ChaCha20-Poly1305 of well-kept libraries, because one fixed
// pattern is short, and because the usual library (github.com/flynn/noise) computes with a slower X25519 and allocates
// for every message that its ciphers seal or open. The tests run the published test vectors, and that library as the
// remote.
//
// A static Noise key is only a name for the node key that has signed it; secrecy of past traffic rests on the ephemeral
// keys. So one is used for many connections, for an hour, or while the identity cannot sign another for a day longer: a
// connection then costs one key generation and no signature, which matters when the node key is in another process.
//
// A Conn writes and reads without an allocation per message. An idle one holds only a small buffer. As in every Noise
// connection the end of the stream is not authenticated: io.EOF may be a cut between two messages.
//
// Facts: libp2p/specs noise, noiseprotocol.org revision 34.
package noise

const (
	// Protocol is the name under which the security is offered in multistream-select.
	Protocol = "/noise"

	noiseName = "Noise_XX_25519_ChaChaPoly_SHA256"
)

// Sizes of the wire, in bytes.
const (
	keySize    = 32
	tagSize    = 16
	lengthSize = 2
	maxMessage = 65535 // behind the length (noiseprotocol.org, section 3)
	// MaxPlaintext is the most data in one message; longer writes are cut.
	MaxPlaintext = maxMessage - tagSize

	// maxHandshakeMessage bounds what we read of a handshake message. Ours have 32, about 230 and about 200 bytes; with
	// the longest RSA key and its signature about 2,400.
	maxHandshakeMessage = 8 << 10
)
