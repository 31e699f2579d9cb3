package handshake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
)

func textLogger(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

func TestGatesAtEachCheckpoint(t *testing.T) {
	stages := map[Checkpoint]string{AtAccept: StageTransport, AtKey: StageSecurity, AtInfo: StageInfo}
	shared := &Refusal{Code: muxer.CodeBanned, Reason: "no", Limit: "bans"}
	for at, stage := range stages {
		for _, side := range []muxer.Side{muxer.Listener, muxer.Dialer} {
			for name, answer := range map[string]func() error{
				"refusal": func() error { return fmt.Errorf("wrapped: %w", shared) },
				"plain":   func() error { return errors.New("because") },
				"panic":   func() error { panic("gate") },
			} {
				var seen []Visitor
				cfg := fakeConfig(ourKey)
				cfg.Gates = []Gate{
					func(v Visitor) error { seen = append(seen, v); return nil },
					func(v Visitor) error {
						if v.At == at {
							return answer()
						}
						return nil
					},
					func(v Visitor) error {
						if v.At == at {
							t.Error("asked after a refusal")
						}
						return nil
					},
				}
				u := newUpgrader(t, cfg)
				remote, ours := pipe("/ip4/10.0.0.1")
				talk(remote, remoteKey)
				var err error
				if side == muxer.Listener {
					_, err = inbound(u, ours)
				} else {
					_, err = u.Outbound(context.Background(), ours, address(t, "10.0.0.1:1"), 0)
				}
				gotStage, code := failure(t, err)
				want := muxer.CodeFiltered
				if name == "refusal" {
					want = muxer.CodeBanned
				}
				if gotStage != stage || code != want {
					t.Errorf("%s at %d, %v: %v (%s)", name, at, side, err, gotStage)
				}
				if len(seen) != int(at)+1 {
					t.Errorf("%d checkpoints seen", len(seen))
				}
				for i, v := range seen {
					if v.At != Checkpoint(i) || v.Side != side || v.Remote.String() != "/ip4/10.0.0.1/tcp/40000" ||
						(i > 0) != (v.ID == remoteKey.ID()) || (i > 0) != (v.Key == remoteKey.Public()) ||
						(i > 1) != (v.Info != nil) {
						t.Errorf("visitor %d: %+v", i, v)
					}
				}
				if reserved := side == muxer.Listener && at == AtAccept; ours.IsClosed() == reserved {
					t.Error("who closes the connection")
				}
				if at == AtAccept && ours.Reads() != 0 {
					t.Error("read before the gate was asked")
				}
				unused(t, u)
			}
		}
	}
	if shared.Stage != "" {
		t.Error("the gate's own refusal was changed")
	}
}

func TestWrongIDSelfAndInfo(t *testing.T) {
	for _, c := range []struct {
		name   string
		remote *NodeKey
		want   string // node id that we dial
		info   func(*NodeInfo)
		stage  string
		code   muxer.Code
		text   string
	}{
		{"right", remoteKey, string(remoteKey.ID()), nil, "", 0, ""},
		{"any", remoteKey, "", nil, "", 0, ""},
		{"wrong id", NewIdentity([32]byte{3}), string(remoteKey.ID()), nil, StageSecurity, muxer.CodeWrongID,
			string(remoteKey.ID())},
		{"self", ourKey, "", nil, StageSecurity, muxer.CodeSelf, "ourselves"},
		{"self under another name", ourKey, string(remoteKey.ID()), nil, StageSecurity, muxer.CodeSelf, "ourselves"},
		{"claims another id", remoteKey, "", func(n *NodeInfo) { n.ID = ourKey.ID() }, StageInfo, muxer.CodeInvalidInfo,
			"proved"},
		{"network", remoteKey, "", func(n *NodeInfo) { n.Network = "other\n" + strings.Repeat("x", 500) }, StageInfo,
			muxer.CodeWrongNetwork, `other\n`},
		{"moniker", remoteKey, "", func(n *NodeInfo) { n.Moniker = "é" }, StageInfo, muxer.CodeInvalidInfo, "moniker"},
		{"guest", remoteKey, "", func(n *NodeInfo) { *n = NodeInfo{ID: n.ID, Guest: true} }, "", 0, ""},
	} {
		cfg := fakeConfig(ourKey, &fakeWire{name: "comet", first: 0x22, key: ourKey, info: c.info})
		u := newUpgrader(t, cfg)
		remote, ours := pipe("/ip4/10.0.0.1")
		talk(remote, c.remote)
		at := "10.0.0.1:1"
		if c.want != "" {
			at = c.want + "@" + at
		}
		_, err := u.Outbound(context.Background(), ours, address(t, at), 0)
		if c.stage == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if stage, code := failure(t, err); stage != c.stage || code != c.code ||
			!strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(err.Error()) > 300 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error text %q", c.name, err)
		}
	}
	a := &Attempt{u: newUpgrader(t, fakeConfig(ourKey))}
	if _, code := failure(t, a.CheckKey(PublicKey{})); code != muxer.CodeAuthFailed {
		t.Error("a remote without a key")
	}
}

func TestInspectSeesWhatIsRefused(t *testing.T) {
	cfg := fakeConfig(ourKey, &fakeWire{name: "comet", first: 0x22, key: ourKey, info: func(n *NodeInfo) {
		n.Network = "other"
	}})
	var seen Visitor
	cfg.Inspect = func(v Visitor) { seen = v }
	remote, ours := pipe("/ip4/10.0.0.1")
	talk(remote, remoteKey)
	_, err := inbound(newUpgrader(t, cfg), ours)
	if _, code := failure(t, err); code != muxer.CodeWrongNetwork || seen.At != AtInfo || seen.Info == nil ||
		seen.Info.Network != "other" || seen.ID != remoteKey.ID() {
		t.Errorf("%v, saw %+v", err, seen)
	}
}

func TestNodeInfoRules(t *testing.T) {
	good := fakeInfo(remoteKey)
	ours := fakeInfo(ourKey)
	ours.Channels = []byte{1, 2}
	for _, c := range []struct {
		name   string
		change func(*NodeInfo)
		code   muxer.Code
		text   string
	}{
		{"good", func(*NodeInfo) {}, 0, ""},
		{"16 channels", func(n *NodeInfo) { n.Channels = count(16) }, 0, ""},
		{"17 channels", func(n *NodeInfo) { n.Channels = count(17) }, muxer.CodeInvalidInfo, "17 of them"},
		{"duplicate channel", func(n *NodeInfo) { n.Channels = []byte{1, 0x40, 0x40} }, muxer.CodeInvalidInfo,
			"0x40 is there twice"},
		{"no common channel", func(n *NodeInfo) { n.Channels = []byte{9} }, muxer.CodeIncompatible,
			"the remote has 0x09, we have 0x0102"},
		{"no channels", func(n *NodeInfo) { n.Channels = nil }, muxer.CodeIncompatible, "no common channel"},
		{"empty moniker", func(n *NodeInfo) { n.Moniker = "" }, muxer.CodeInvalidInfo, "moniker"},
		{"blank moniker", func(n *NodeInfo) { n.Moniker = "   " }, muxer.CodeInvalidInfo, "moniker"},
		{"tab in moniker", func(n *NodeInfo) { n.Moniker = "a\tb" }, muxer.CodeInvalidInfo, `"a\tb"`},
		{"long moniker is cut", func(n *NodeInfo) { n.Moniker = strings.Repeat("é", 4000) }, muxer.CodeInvalidInfo,
			"moniker"},
		{"spaces in moniker", func(n *NodeInfo) { n.Moniker = " a b " }, 0, ""},
		{"version", func(n *NodeInfo) { n.Version = "1\x00" }, muxer.CodeInvalidInfo, "version"},
		{"blank version", func(n *NodeInfo) { n.Version = " " }, muxer.CodeInvalidInfo, "version"},
		{"tx index", func(n *NodeInfo) { n.TxIndex = "maybe" }, muxer.CodeInvalidInfo, "tx_index"},
		{"tx index on", func(n *NodeInfo) { n.TxIndex = "on" }, 0, ""},
		{"rpc", func(n *NodeInfo) { n.RPCAddress = "\x7f" }, muxer.CodeInvalidInfo, "rpc_address"},
		{"block", func(n *NodeInfo) { n.BlockVersion = 10 }, muxer.CodeIncompatible, "block protocol 10"},
		{"p2p and app are ignored", func(n *NodeInfo) { n.P2PVersion, n.AppVersion = 99, 99 }, 0, ""},
		{"network", func(n *NodeInfo) { n.Network = "" }, muxer.CodeWrongNetwork, `network ""`},
	} {
		n := good
		c.change(&n)
		err := n.Validate()
		if err == nil {
			err = ours.CompatibleWith(&n)
		}
		if c.text == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: accepted", c.name)
			continue
		}
		if stage, code := failure(t, err); stage != StageInfo || code != c.code ||
			!strings.Contains(err.Error(), c.text) || len(err.Error()) > 400 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	testing := ours
	testing.Channels = nil
	if err := testing.CompatibleWith(&good); err != nil {
		t.Errorf("a node without channels takes any: %v", err)
	}
}

func count(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
