package admin

import (
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// remedies say what to do about a reason, by the code's name.
var remedies = map[muxer.Code]string{
	muxer.CodeTooManyPeers:  "it is full; it is dialed again by itself",
	muxer.CodeDuplicate:     "nothing: another link of the peer goes on",
	muxer.CodeBanned:        "switchyard unban lifts the ban",
	muxer.CodeWrongNetwork:  "it is of another network; if that is yours, give both nodes the same network",
	muxer.CodeWrongID:       "another node answers there: the address is out of date, or names the wrong id",
	muxer.CodeSelf:          "that is this node itself; it drops the address",
	muxer.CodeIncompatible:  "the two nodes have no wire, muxer or channel in common",
	muxer.CodeProtocolError: "something else than a node answers there, or another version",
	muxer.CodeAuthFailed:    "the secure handshake failed: another protocol, or somebody in between",
	muxer.CodeInvalidInfo:   "the other node says what cannot be; see its version",
	muxer.CodeTimeout:       "a firewall drops it, or the host is gone",
	muxer.CodeTooManyStarts: "too many handshakes at once from there; it passes",
	muxer.CodeFiltered:      "a rule of that node, such as peers.allow_networks, refuses it",
	muxer.CodeTransport:     "nothing listens there, or the network between is broken",
	muxer.CodeRemoteClosed:  "the other end hung up without a word: it is full, or refuses this node",
	muxer.CodeRequested:     "nothing: this node gave it up",
	muxer.CodeShuttingDown:  "nothing: a node stops",
	muxer.CodeNoSignature:   "see the signer: this node's own key did not sign",
	muxer.CodeEvicted:       "nothing: another peer took the slot",
	muxer.CodeInquiryDone:   "nothing: a short visit",
}

// remedyFor says what to do about a failure; "" if nothing comes to mind.
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
	return remedies[r.Code]
}
