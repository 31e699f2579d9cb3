package host

import (
	"context"
	"errors"
	"io"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
)

var (
	// ErrNotConnected reports that there is no link to the peer.
	ErrNotConnected = errors.New("not connected to that peer")
	// ErrNoSuchChannel reports that the peer does not serve the channel.
	ErrNoSuchChannel = errors.New("the peer does not serve that channel")
	// ErrStarted reports that something must be done before the host runs.
	ErrStarted = errors.New("the host already runs")
	// ErrStopped reports that the host has stopped.
	ErrStopped = peers.ErrStopped
)

// asReason makes a DisconnectError of whatever ended a connection.
func asReason(err error) *DisconnectError {
	var d *DisconnectError
	if errors.As(err, &d) {
		return d
	}
	var r *handshake.Refusal
	if errors.As(err, &r) {
		return &DisconnectError{Code: r.Code, Remote: r.Remote, Limit: r.Limit, Reason: r.Reason}
	}
	var s *handshake.StageError
	if errors.As(err, &s) {
		return &DisconnectError{Code: s.Code, Reason: s.Error(), Err: err}
	}
	var c *muxer.CloseError
	if errors.As(err, &c) {
		return &DisconnectError{Code: c.Code, Remote: c.Remote, Reason: c.Reason, Err: c.Err}
	}
	switch {
	case errors.Is(err, io.EOF):
		return &DisconnectError{Code: muxer.CodeRemoteClosed, Remote: true, Reason: "the remote hung up"}
	case errors.Is(err, context.DeadlineExceeded):
		return &DisconnectError{Code: muxer.CodeTimeout, Reason: err.Error(), Err: err}
	case errors.Is(err, context.Canceled):
		return &DisconnectError{Code: muxer.CodeRequested, Reason: "cancelled", Err: err}
	case err == nil:
		return &DisconnectError{Code: muxer.CodeUnknown}
	}
	return &DisconnectError{Code: muxer.CodeTransport, Reason: err.Error(), Err: err}
}
