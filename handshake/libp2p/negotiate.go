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

// agreeOnSecurity says which security the connection is for, and what to secure. A dialer that has only one begins it
// together with its proposal: if the remote does not have it, there is nothing else to try. A listener whose dialer has
// done so answers together with the first message of the security.
func (w *Wire) agreeOnSecurity(conn *handshake.PeekConn, side muxer.Side) (int, *corkedConn, error) {
	if side == muxer.Dialer {
		if len(w.securities) == 1 {
			return 0, newCorkedConn(conn, multistream.Propose(w.securities[0]), w.securities[0]), nil
		}
		i, err := agree(conn, side, w.securities)
		return i, newCorkedConn(conn, nil, ""), err
	}
	chosen, pending, err := multistream.Answer(conn, func(p string) bool { return slices.Contains(w.securities, p) })
	if err != nil {
		return 0, nil, err
	}
	i := slices.Index(w.securities, chosen)
	if conn.Buffered() == 0 { // the dialer waits
		_, err = conn.Write(pending)
		pending = nil
	}
	return i, newCorkedConn(conn, pending, ""), err
}

// secure agrees on a security and secures the connection.
func (w *Wire) secure(ctx context.Context, a *handshake.Attempt) (handshake.SecureConn, string, error) {
	i, conn, err := w.agreeOnSecurity(a.Bytes, a.Side)
	if err != nil {
		return nil, "", handshake.Fail(handshake.StageSecurity, negotiationCode(err),
			fmt.Errorf("agree on a security: %w", err))
	}
	s := w.cfg.Securities[i]
	secured, err := s.Secure(ctx, conn,
		handshake.Securing{Side: a.Side, Identity: w.cfg.Identity, Want: a.Want, Muxers: w.muxers,
			CheckKey: a.CheckKey})
	if err != nil {
		_ = conn.flush() // what it told the remote of that
	} else {
		err = conn.secured(a.Side)
	}
	if errors.Is(err, multistream.ErrRefused) {
		return nil, "", handshake.Fail(handshake.StageSecurity, negotiationCode(err),
			fmt.Errorf("agree on a security: %w", err))
	}
	if err != nil {
		code := muxer.CodeAuthFailed
		if handshake.CodeOf(err) != muxer.CodeUnknown || handshake.IsOwnFault(err) {
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
			return nil, handshake.Fail(handshake.StageMuxer, negotiationCode(err),
				fmt.Errorf("agree on a muxer: %w", err))
		}
	}
	if i < 0 {
		return nil, handshake.Fail(handshake.StageMuxer, muxer.CodeIncompatible,
			fmt.Errorf("the security settled on the muxer %.60q, which we do not have", conn.Muxer()))
	}
	return w.cfg.Muxers[i], nil
}
