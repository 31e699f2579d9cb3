package handshake

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// An error tells whether the remote had proven a key, and which: before that only the address can be blamed. That holds
// for connections of bytes (TCP, memory) and for those that are secured already (QUIC), on both sides.
func TestErrorsTellTheProvenKey(t *testing.T) {
	other := NewIdentity([32]byte{3})
	hello := append([]byte{0x22}, remoteKey.Public().Raw()...)
	refuseAt := func(at Checkpoint) Gate {
		shared := &Refusal{Code: muxer.CodeBanned} // one value for all connections
		return func(v Visitor) error {
			if v.At == at {
				return shared
			}
			return nil
		}
	}
	afterKey := func(err error) func(context.Context, *Attempt) error {
		return func(_ context.Context, a *Attempt) error {
			if err := a.CheckKey(remoteKey.Public()); err != nil {
				return err
			}
			a.Done(StageSecurity)
			return err
		}
	}
	for name, c := range map[string]struct {
		sent    []byte // then the remote hangs up, or is silent
		silent  bool
		want    transport.NodeID
		gate    Gate
		info    func(*NodeInfo)
		before  func(context.Context, *Attempt) error
		secured bool
		proven  transport.NodeID
		stage   string
	}{
		"hung up at once":    {stage: StageSecurity},
		"hung up in the key": {sent: hello[:20], stage: StageSecurity},
		"silent":             {silent: true, stage: StageSecurity},
		"refused at accept":  {sent: hello, gate: refuseAt(AtAccept), stage: StageTransport},
		"refused by key":     {sent: hello, gate: refuseAt(AtKey), proven: remoteKey.ID(), stage: StageSecurity},
		"refused by info":    {sent: hello, gate: refuseAt(AtInfo), proven: remoteKey.ID(), stage: StageInfo},
		"another id":         {sent: hello, want: other.ID(), proven: remoteKey.ID(), stage: StageSecurity},
		"wrong network": {sent: hello, info: func(i *NodeInfo) { i.Network = "x" }, proven: remoteKey.ID(),
			stage: StageInfo},
		"failed behind key": {sent: hello, before: afterKey(io.EOF), proven: remoteKey.ID(), stage: StageMuxer},
		"secured, before key": {secured: true, before: func(context.Context, *Attempt) error { return io.EOF },
			stage: StageSecurity},
		"secured, behind key": {secured: true, before: afterKey(io.EOF), proven: remoteKey.ID(), stage: StageMuxer},
		"secured, refused": {secured: true, gate: refuseAt(AtKey), before: afterKey(nil), proven: remoteKey.ID(),
			stage: StageSecurity},
	} {
		for _, side := range []muxer.Side{muxer.Dialer, muxer.Listener} {
			if side == muxer.Listener && (c.want != "" || c.stage == StageTransport) {
				continue // Admit refuses there, before there is an attempt
			}
			synctest.Test(t, func(t *testing.T) {
				fake := fakeWire{name: "comet", first: 0x22, key: ourKey, before: c.before, info: c.info}
				var wire Wire = &fake
				if c.secured {
					wire = &securedWire{fake}
				}
				cfg := fakeConfig(ourKey, wire)
				if c.gate != nil {
					cfg.Gates = []Gate{c.gate}
				}
				u := newUpgrader(t, cfg)
				remote, ours := pipe("/ip4/10.0.0.1")
				defer remote.Close()
				_, _ = remote.Write(c.sent)
				if !c.silent {
					_ = remote.CloseWrite()
				}
				var conn transport.Conn = ours
				if c.secured {
					conn = newSecuredConn()
				}
				var err error
				if side == muxer.Listener {
					_, err = inbound(u, conn)
				} else {
					addr := address(t, "10.0.0.1:1")
					if c.want != "" {
						addr = address(t, string(c.want)+"@10.0.0.1:1")
					}
					_, err = u.Outbound(context.Background(), conn, addr, 0)
				}
				stage, _ := failure(t, err)
				if ProvenID(err) != c.proven || stage != c.stage {
					t.Errorf("%s, %v: proven %q, stage %s: %v", name, side, ProvenID(err), stage, err)
				}
			})
		}
	}
	// A transport's own failure to dial, as the host wraps it.
	if id := ProvenID(Fail(StageTransport, muxer.CodeTransport, errors.New("refused"))); id != "" {
		t.Error(id)
	}
}
