// Package tls secures a byte connection as libp2p nodes do under the name /tls/1.0.0: TLS 1.3 in which both ends show
// one self-signed certificate, with an extension that carries the node key and its signature of the certificate's key.
// ALPN negotiates the stream muxer: the dialer lists its muxers before the name "libp2p", and its order counts.
//
// The certificate's key lives in this process only. It is ed25519 where the remote offers to verify that, and on P-256
// elsewhere: the specification asks for a key that the remote can verify and that is quick to use. One certificate
// serves many connections, for half a day (for a day longer while the identity cannot sign), so that a connection needs
// neither a new key nor a signature of the node key, which may be in another process. There are no session tickets:
// every connection proves its keys.
//
// A dialer offers the post-quantum hybrid X25519MLKEM768 first, then X25519 and P-256, as crypto/tls and go-libp2p do:
// traffic that is recorded today stays secret from a quantum computer. Config.Classic leaves the hybrid out, which
// saves about a third of a set-up. A listener takes the hybrid from every dialer that offers it. Signatures are
// classical (Ed25519, ECDSA, RSA) in either case.
//
// QUIC has its TLS inside: ServerConfig, ClientConfig and RemoteKey are for such a transport.
//
// Facts: libp2p/specs tls.
package tls

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

const (
	// Protocol is the name under which the security is offered in multistream-select.
	Protocol = "/tls/1.0.0"
	// ALPN is what a node without early muxer negotiation offers, and all that QUIC does.
	ALPN = "libp2p"

	// certLife is for how long one certificate is used for new connections; certBefore and certAfter are how much
	// longer it is valid, for remotes whose clocks are wrong.
	certLife   = 12 * time.Hour
	certBefore = 24 * time.Hour
	certAfter  = 365 * 24 * time.Hour

	// maxOurALPN bounds our own list of muxers, in bytes.
	maxOurALPN = 2 << 10
)

// extensionID is that of the extension with the node key.
var extensionID = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 53594, 1, 1}

// What the remote can do wrong, besides what crypto/tls finds. Errors of Secure wrap these, or an error of crypto/tls
// or of the connection beneath; or they are what the Identity or CheckKey returned, a *handshake.KeyError, or a
// *handshake.Refusal of an unexpected node id.
var (
	// ErrCertificate reports that the remote's certificate is not as the protocol demands.
	ErrCertificate = errors.New("bad certificate")
	// ErrBadSignature reports that the certificate does not prove the node key that it names.
	ErrBadSignature = errors.New("bad signature of the certificate's key")
	// ErrTooLong reports that the remote sends more than a handshake needs.
	ErrTooLong = fmt.Errorf("more than %d bytes in a handshake", maxFlights)
	// ErrALPN reports that the remote did not agree on what follows the security.
	ErrALPN = errors.New("no common protocol in ALPN")
)
