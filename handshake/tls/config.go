package tls

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ServerConfig is for a transport that has TLS 1.3 inside, such as QUIC. It serves any number of connections with the
// identity id. Its ALPN is exactly "libp2p". It accepts every node; RemoteKey returns its key. A handshake passes the
// context of its ClientHelloInfo to id.
func (s *Security) ServerConfig(id handshake.Identity) *tls.Config {
	c := s.base(muxer.Listener, []string{ALPN})
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		own, err := s.own.Get(hello.Context(), id)
		if err != nil {
			return nil, err
		}
		return own.choose(hello.SignatureSchemes), nil
	}
	c.VerifyConnection = s.verifyFor("")
	return c
}

// ClientConfig is the counterpart for one connection to the node want; "" accepts any. ctx is for id only.
func (s *Security) ClientConfig(
	ctx context.Context, id handshake.Identity, want transport.NodeID,
) (*tls.Config, error) {
	own, err := s.own.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	c := s.base(muxer.Dialer, []string{ALPN})
	show(c, muxer.Dialer, own)
	c.VerifyConnection = s.verifyFor(want)
	return c, nil
}

// The key exchanges that we offer. crypto/tls prefers the hybrid, then X25519, whatever the order here.
var (
	classic = []tls.CurveID{tls.X25519, tls.CurveP256}
	hybrid  = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256}
)

// hub caches the configuration of accepted connections, for these certificates and muxers.
type hub struct {
	own    *certificates
	muxers []string
	config *tls.Config
}

// configFor returns the configuration for one connection.
func (s *Security) configFor(own *certificates, opts handshake.Securing) (*tls.Config, error) {
	shared := opts.Side == muxer.Listener && opts.Want == "" && len(opts.Muxers) == 1
	if shared {
		s.mu.Lock()
		h := s.hub
		s.mu.Unlock()
		if h != nil && h.own == own && slices.Equal(h.muxers, opts.Muxers) {
			return h.config, nil
		}
	}
	alpn, err := alpnFor(opts.Muxers)
	if err != nil {
		return nil, err
	}
	c := s.base(opts.Side, alpn)
	show(c, opts.Side, own)
	c.VerifyConnection = s.verifyFor(opts.Want)
	// with one muxer every dialer prefers it to none
	if opts.Side == muxer.Listener && len(opts.Muxers) > 1 {
		preferDialer(c)
	}
	if shared {
		s.mu.Lock()
		s.hub = &hub{own, slices.Clone(opts.Muxers), c}
		s.mu.Unlock()
	}
	return c, nil
}

// base returns the common part of all configurations of one side.
func (s *Security) base(side muxer.Side, alpn []string) *tls.Config {
	exchange := hybrid
	if side == muxer.Dialer && s.cfg.Classic {
		exchange = classic
	}
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		NextProtos:                  alpn,
		InsecureSkipVerify:          true, // there is no authority: VerifyConnection looks at the certificate
		ClientAuth:                  tls.RequireAnyClientCert,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true, // short first records help browsers only
		CurvePreferences:            exchange,
	}
}

// show makes own our certificates.
func show(c *tls.Config, side muxer.Side, own *certificates) {
	if side == muxer.Listener {
		c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			return own.choose(hello.SignatureSchemes), nil
		}
		return
	}
	c.GetClientCertificate = func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return own.choose(r.SignatureSchemes), nil
	}
}

// verifyFor returns a check of the certificate, and that it belongs to the node want, if that is set. crypto/tls calls
// it before the remote has proven that it has the certificate's secret key. There are no resumed connections, for which
// it would not be called.
func (s *Security) verifyFor(want transport.NodeID) func(tls.ConnectionState) error {
	return func(state tls.ConnectionState) error {
		key, err := verifyCertificates(state.PeerCertificates, time.Now(), &s.known)
		if err != nil || want == "" || key.NodeID() == want {
			return err
		}
		reason := fmt.Sprintf("expected node %s, found %s", want, key.NodeID())
		return &handshake.Refusal{Code: muxer.CodeWrongID, Stage: handshake.StageSecurity, Reason: reason}
	}
}

// alpnFor returns the ALPN list that we offer, or accept, with these muxers.
func alpnFor(muxers []string) ([]string, error) {
	n := 0
	for _, m := range muxers {
		if n += 1 + len(m); len(m) == 0 || len(m) > 255 || m == ALPN || n > maxOurALPN {
			return nil, fmt.Errorf("our muxers cannot be offered in ALPN: %.60q", m)
		}
	}
	return append(slices.Clip(slices.Clone(muxers)), ALPN), nil
}

// preferDialer chooses the dialer's first muxer that we have too: crypto/tls would choose our first.
func preferDialer(c *tls.Config) {
	c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		for _, offered := range hello.SupportedProtos {
			if slices.Contains(c.NextProtos, offered) {
				c.NextProtos = []string{offered} // c is of this connection alone
				break
			}
		}
		return nil, nil // goes on with c
	}
}
