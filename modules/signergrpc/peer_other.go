//go:build !linux && !darwin && !freebsd

package signergrpc

import (
	"errors"
	"net"
)

// peerUID cannot tell here: use mutual TLS.
func peerUID(*net.UnixConn) (int, error) { return 0, errors.ErrUnsupported }
