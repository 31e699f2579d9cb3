package handshake

import (
	"fmt"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Done records that a stage ended now.
func (a *Attempt) Done(stage string) {
	now := time.Now()
	a.stages = append(a.stages, Stage{stage, now.Sub(a.last)})
	a.last, a.stage = now, StageInfo
	if stage == StageSecurity {
		a.stage = StageMuxer
	}
	if a.Side == muxer.Dialer && a.u != nil && a.u.cfg.Staged != nil {
		a.u.cfg.Staged(a.Dialed, a.stage)
	}
}

// CheckKey passes the checkpoint after the remote's key is proven: it refuses ourselves, compares with Want, asks the
// gates. Its errors are *Refusal.
func (a *Attempt) CheckKey(key PublicKey) error {
	id := key.NodeID()
	a.RemoteKey, a.RemoteID = key, id
	switch {
	case id == "":
		return &Refusal{Code: muxer.CodeAuthFailed, Stage: StageSecurity, Reason: "the remote proved no key"}
	case id == a.Local.ID:
		return &Refusal{Code: muxer.CodeSelf, Stage: StageSecurity, Reason: "we reached ourselves"}
	case a.Want != "" && id != a.Want:
		return &Refusal{Code: muxer.CodeWrongID, Stage: StageSecurity,
			Reason: fmt.Sprintf("expected node %s, found %s", a.Want, id)}
	}
	if err := a.u.ask(Visitor{At: AtKey, Side: a.Side, Remote: a.Conn.RemoteMultiaddr(), IP: a.Conn.RemoteIP(),
		Wire: a.wire, ID: id, Key: key}); err != nil {
		return err
	}
	a.ticket.prove()
	return nil
}

// CheckInfo passes the checkpoint after the remote's node info is known: it validates the info, compares it with ours
// (network, versions, channels), asks the gates. Its errors are *Refusal.
func (a *Attempt) CheckInfo(info *NodeInfo) error {
	visitor := Visitor{At: AtInfo, Side: a.Side, Remote: a.Conn.RemoteMultiaddr(), IP: a.Conn.RemoteIP(), Wire: a.wire,
		ID: a.RemoteID, Key: a.RemoteKey, Info: info}
	if a.u.cfg.Inspect != nil {
		a.u.cfg.Inspect(visitor)
	}
	if info.ID != a.RemoteID {
		return &Refusal{Code: muxer.CodeInvalidInfo, Stage: StageInfo,
			Reason: fmt.Sprintf("node info: the id is %.60q, but the remote proved to be node %s", info.ID, a.RemoteID)}
	}
	if err := info.Validate(); err != nil {
		return err
	}
	if err := a.Local.CompatibleWith(info); err != nil {
		return err
	}
	return a.u.ask(visitor)
}
