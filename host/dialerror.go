package host

import (
	"context"
	"errors"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// answered says that a dial which brought no link has shown that its address works: who was expected there has proven the key and had no place for us. Over libp2p
// it says so, once both have told each other who they are. Over comet there are no words for it: a remote hangs up once the keys are proven, and its node info may be lost
// with that. A hang-up shows nothing of the remote's network; but whoever wants to be taken for one that works can as well accept, so it is no help to him, while full nodes, as
// honest ones often are, would be forgotten if it counted for nothing. The peer as a whole backs off after it, as after a failure.
func answered(err error) bool {
	if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		return r.Remote && r.Stage == handshake.StageInfo && (r.Code == muxer.CodeTooManyPeers || r.Code == muxer.CodeDuplicate)
	}
	if stageOf(err) != handshake.StageInfo {
		return false
	}
	code, _ := codeOf(err)
	return code == muxer.CodeRemoteClosed || code == muxer.CodeTransport
}

// maxLastError is what peerstore.Record keeps of an error's text, in bytes.
const maxLastError = 128

// cut shortens a text to at most n bytes.
func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// codeOf finds the code in an error of a dial, and whether the remote gave it.
func codeOf(err error) (code muxer.Code, remote bool) {
	if d, ok := errors.AsType[*DisconnectError](err); ok {
		return d.Code, d.Remote
	}
	if r, ok := errors.AsType[*handshake.Refusal](err); ok {
		return r.Code, r.Remote
	}
	if c, ok := errors.AsType[*muxer.CloseError](err); ok {
		return c.Code, c.Remote
	}
	if errors.Is(err, context.Canceled) {
		return muxer.CodeRequested, false
	}
	if s, ok := errors.AsType[*handshake.StageError](err); ok {
		return s.Code, false
	}
	return muxer.CodeTransport, false
}
