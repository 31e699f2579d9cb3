package libp2p

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/multistream"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// agree chooses one of protocols with the remote: the dialer proposes, the listener takes the first that it has.
func agree(rw io.ReadWriter, side muxer.Side, protocols []string) (int, error) {
	var chosen string
	var err error
	if side == muxer.Dialer {
		chosen, err = multistream.Select(rw, protocols)
	} else {
		var pending []byte
		chosen, pending, err = multistream.Answer(rw, func(p string) bool { return slices.Contains(protocols, p) })
		if err == nil {
			_, err = rw.Write(pending)
		}
	}
	return slices.Index(protocols, chosen), err
}

// negotiationCode is the code of an error of agree.
func negotiationCode(err error) muxer.Code {
	switch code := handshake.CodeOf(err); {
	case errors.Is(err, multistream.ErrRefused):
		return muxer.CodeIncompatible
	case code == muxer.CodeUnknown:
		return muxer.CodeProtocolError
	default:
		return muxer.CodeUnknown // the Upgrader finds it
	}
}

// agreeOnSecurity says which security the connection is for, and what to secure. A dialer that has only one begins it together with its proposal: if the
// remote does not have it, there is nothing else to try. A listener whose dialer has done so answers together with the first message of the security.
func (w *Wire) agreeOnSecurity(conn transport.ByteConn, side muxer.Side) (int, *thriftyConn, error) {
	if side == muxer.Dialer {
		if len(w.securities) == 1 {
			return 0, newThriftyConn(conn, multistream.Propose(w.securities[0]), w.securities[0]), nil
		}
		i, err := agree(conn, side, w.securities)
		return i, newThriftyConn(conn, nil, ""), err
	}
	chosen, pending, err := multistream.Answer(conn, func(p string) bool { return slices.Contains(w.securities, p) })
	if err != nil {
		return 0, nil, err
	}
	i := slices.Index(w.securities, chosen)
	if b, ok := conn.(interface{ Buffered() int }); !ok || b.Buffered() == 0 { // the dialer waits
		_, err = conn.Write(pending)
		pending = nil
	}
	return i, newThriftyConn(conn, pending, ""), err
}

// secure agrees on a security and secures the connection.
func (w *Wire) secure(ctx context.Context, conn transport.ByteConn, a *handshake.Attempt) (handshake.SecureConn, string, error) {
	i, thrifty, err := w.agreeOnSecurity(conn, a.Side)
	if err != nil {
		return nil, "", handshake.Fail(handshake.StageSecurity, negotiationCode(err), fmt.Errorf("agree on a security: %w", err))
	}
	s := w.cfg.Securities[i]
	secured, err := s.Secure(ctx, thrifty, handshake.Securing{Side: a.Side, Identity: w.cfg.Identity, Want: a.Want, Muxers: w.muxers, CheckKey: a.CheckKey})
	if err != nil {
		_ = thrifty.flush() // what it told the remote of that
	} else {
		err = thrifty.secured(a.Side)
	}
	if errors.Is(err, multistream.ErrRefused) {
		return nil, "", handshake.Fail(handshake.StageSecurity, negotiationCode(err), fmt.Errorf("agree on a security: %w", err))
	}
	if err != nil {
		code := muxer.CodeAuthFailed
		if handshake.CodeOf(err) != muxer.CodeUnknown {
			code = muxer.CodeUnknown
		}
		return nil, "", handshake.Fail(handshake.StageSecurity, code, fmt.Errorf("%s: %w", s.Name(), err))
	}
	return secured, s.Name(), nil
}

// agreeOnMuxer finds the stream muxer: the one that the security has settled, or one that is negotiated now.
func (w *Wire) agreeOnMuxer(conn handshake.SecureConn, side muxer.Side) (muxer.StreamMuxer, error) {
	i := slices.Index(w.muxers, conn.Muxer())
	if conn.Muxer() == "" {
		var err error
		if i, err = agree(conn, side, w.muxers); err != nil {
			return nil, handshake.Fail(handshake.StageMuxer, negotiationCode(err), fmt.Errorf("agree on a muxer: %w", err))
		}
	}
	if i < 0 {
		return nil, handshake.Fail(handshake.StageMuxer, muxer.CodeIncompatible, fmt.Errorf("the security settled on the muxer %.60q, which we do not have", conn.Muxer()))
	}
	return w.cfg.Muxers[i], nil
}
