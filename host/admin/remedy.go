package admin

import (
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/reasons"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// remedyFor returns what to do about a dial or a connection that failed; "" if nothing comes to mind.
func remedyFor(r *host.DisconnectError, inbound bool) string {
	switch {
	case r == nil:
		return ""
	case r.Limit != "" && !r.Remote:
		return "raise " + r.Limit + " if that is wanted"
	case inbound && r.Code == muxer.CodeTimeout:
		return "the other end says nothing: a port scanner, or a broken node"
	case inbound && (r.Code == muxer.CodeTransport || r.Code == muxer.CodeRemoteClosed):
		return "nothing: the other end hung up"
	}
	e, _ := reasons.Find(reasons.Link, r.Code.String())
	return e.Short
}
