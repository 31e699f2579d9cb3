package libp2p

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/internal/switchyardpb"
	"github.com/switchyard-p2p/switchyard/muxer"
)

// agreeBoth ends the handshakes of both ends.
func agreeBoth(t *testing.T, dl, ll *handshake.Link) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- ll.Confirm(t.Context(), nil) }()
	derr := dl.Confirm(t.Context(), nil)
	if lerr := <-done; derr != nil || lerr != nil {
		t.Fatalf("the dialer: %v, the listener: %v", derr, lerr)
	}
}

// leave closes links that nobody runs.
func leave(links ...*handshake.Link) {
	for _, l := range links {
		if l != nil {
			_ = l.Session.Close(muxer.CodeBanned, "")
			_ = l.Session.Run(context.Background(), nil)
		}
	}
}

// What one end refuses at the checkpoint, both hear of: with the code, the limit and the reason.
func TestRefusedInfo(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(d, l *end)
		// The codes of both, and whether it was the remote's decision.
		d, l             muxer.Code
		dRemote, lRemote bool
	}{
		{"the listener's gate", func(_, l *end) { l.gate = atInfo }, muxer.CodeFiltered, muxer.CodeFiltered, true,
			false},
		{"the dialer's gate", func(d, _ *end) { d.gate = atInfo }, muxer.CodeFiltered, muxer.CodeFiltered, false, true},
		{"another network", func(d, _ *end) { d.local.Network = "other" }, muxer.CodeWrongNetwork,
			muxer.CodeWrongNetwork, false, false},
		{"another block protocol", func(d, _ *end) { d.local.BlockVersion = 99 }, muxer.CodeIncompatible,
			muxer.CodeIncompatible, false, false},
		{"a bad moniker", func(d, _ *end) { d.local.Moniker = "" }, muxer.CodeInvalidInfo, muxer.CodeInvalidInfo, true,
			false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, l := ends()
				c.spoil(&d, &l)
				began := time.Now()
				dl, ll, derr, lerr := shake(t, d, l)
				if ll != nil { // then it is the dialer that refuses
					lerr = ll.Confirm(t.Context(), nil)
					leave(ll)
				}
				if dl != nil {
					derr = dl.Confirm(t.Context(), nil)
					leave(dl)
				}
				for _, e := range []struct {
					err    error
					code   muxer.Code
					remote bool
				}{{derr, c.d, c.dRemote}, {lerr, c.l, c.lRemote}} {
					var r *handshake.Refusal
					if !errors.As(e.err, &r) || r.Code != e.code || r.Remote != e.remote || r.Reason == "" {
						t.Errorf("%v, want %v, of the remote: %v", e.err, e.code, e.remote)
					} else if e.code == muxer.CodeFiltered && (r.Limit != "some.limit" || r.Reason != "a reason") {
						t.Errorf("%+v", r)
					}
				}
				if took := time.Since(began); took > 2*holdHello+2*lastWord {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// atInfo is a gate.
func atInfo(v handshake.Visitor) error {
	if v.At == handshake.AtInfo {
		return &handshake.Refusal{Code: muxer.CodeFiltered, Limit: "some.limit", Reason: "a reason"}
	}
	return nil
}

// A refusal by the host is heard at the other end, whichever says it.
func TestAgreeRefused(t *testing.T) {
	refusal := &handshake.Refusal{Code: muxer.CodeTooManyPeers, Limit: "peers.max_inbound",
		Reason: strings.Repeat("\x1b[31mfull ", 100)}
	for _, by := range []muxer.Side{muxer.Dialer, muxer.Listener} {
		synctest.Test(t, func(t *testing.T) {
			d, l := ends()
			dl, ll, derr, lerr := shake(t, d, l)
			if derr != nil || lerr != nil {
				t.Fatal(derr, lerr)
			}
			refuser, other := ll, dl
			if by == muxer.Dialer {
				refuser, other = dl, ll
			}
			done := make(chan error, 1)
			go func() {
				err := other.Confirm(t.Context(), nil)
				leave(other)
				done <- err
			}()
			began := time.Now()
			if err := refuser.Confirm(t.Context(), refusal); err != nil || time.Since(began) > lastWord {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			leave(refuser)
			var r *handshake.Refusal
			err := <-done
			if !errors.As(err, &r) || !r.Remote || r.Code != refusal.Code || r.Limit != refusal.Limit ||
				!strings.HasPrefix(r.Reason, "?[31mfull") || len(r.Reason) != maxReason {
				t.Errorf("%+v", err)
			}
		})
	}
}

// A remote that never says its verdict keeps us for no longer than we want, and one that ends the session for no longer
// than it takes.
func TestAgreeUnanswered(t *testing.T) {
	for _, side := range []muxer.Side{muxer.Dialer, muxer.Listener} {
		for _, hangsUp := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				d, l := ends()
				dl, ll, derr, lerr := shake(t, d, l)
				if derr != nil || lerr != nil {
					t.Fatal(derr, lerr)
				}
				link, other := dl, ll
				if side == muxer.Listener {
					link, other = ll, dl
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				if hangsUp {
					go func() {
						_ = other.Session.Close(muxer.CodeBanned, "because")
						_ = other.Session.Run(t.Context(), nil)
					}()
				}
				err := link.Confirm(ctx, nil)
				took := time.Since(began)
				var ce *muxer.CloseError
				switch {
				case !hangsUp && (!errors.Is(err, context.DeadlineExceeded) || took != time.Second):
					t.Errorf("%v after %v", err, took)
				case hangsUp && (!errors.As(err, &ce) || ce.Code != muxer.CodeBanned &&
					ce.Code != muxer.CodeRemoteClosed || !ce.Remote || took > holdHello):
					t.Errorf("%v after %v", err, took)
				}
				if err := link.Confirm(t.Context(), nil); err == nil {
					t.Error("Confirm twice")
				}
				leave(link, other)
			})
		}
	}
}

// The listener's hello does not wait for its host for ever, and nothing is left when nobody asks for the verdicts.
func TestNeverAgreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := ends()
		began := time.Now()
		dl, ll, derr, lerr := shake(t, d, l)
		if derr != nil || lerr != nil || time.Since(began) > holdHello {
			t.Fatal(derr, lerr, time.Since(began))
		}
		leave(dl, ll)
	})
}

// Our addresses are told rightly; one that is no multiaddr is left out.
func TestListenInHello(t *testing.T) {
	for _, texts := range [][]string{{"/ip4/1.2.3.4/tcp/5"}, {"/ip4/1.2.3.4/tcp/5", "/ip6/::1/tcp/6", "1.2.3.4:5"},
		{"/ip4/1.2.3.4/tcp/5"}, nil} {
		var got []string
		for _, b := range ownHello(&handshake.Attempt{Local: handshake.NodeInfo{Listen: texts}}).Listen {
			m, err := ma.NewMultiaddrBytes(b)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.String())
		}
		if want := texts[:min(len(texts), 2)]; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A hello carries all of CometBFT's node info, and a node from before some fields reads and writes the rest.
func TestHelloOfAnotherVersion(t *testing.T) {
	local := handshake.NodeInfo{Network: "n", Moniker: "m", Version: "v", P2PVersion: 8, BlockVersion: 11,
		AppVersion: 7, Height: 5, TxIndex: "on", RPCAddress: "tcp://0.0.0.0:26657", Wires: []string{"comet", "libp2p"},
		Listen: []string{"/ip4/1.2.3.4/tcp/5"}, Replaces: make([]byte, handshake.BindingSize)}
	ours, err := proto.Marshal(ownHello(&handshake.Attempt{Local: local}))
	if err != nil {
		t.Fatal(err)
	}
	old := ours // a hello without the fields that came later
	for b := ours; len(b) > 0; {
		num, _, n := protowire.ConsumeField(b)
		if num == 12 {
			old = ours[:len(ours)-len(b)]
			break
		}
		b = b[n:]
	}
	if len(old) == len(ours) {
		t.Fatal("the hello has no field 12")
	}
	newer := protowire.AppendString(protowire.AppendTag(slices.Clone(ours), 99, protowire.BytesType), "of tomorrow")
	for _, c := range []struct {
		name    string
		b       []byte
		tx, rpc string
	}{{"old", old, "", ""}, {"ours", ours, "on", local.RPCAddress}, {"newer", newer, "on", local.RPCAddress}} {
		m := &switchyardpb.Hello{}
		if err := proto.Unmarshal(c.b, m); err != nil {
			t.Fatal(err)
		}
		want := local
		if want.TxIndex, want.RPCAddress = c.tx, c.rpc; c.tx == "" {
			want.Replaces = nil
		}
		var got handshake.NodeInfo
		if _, err := helloInfo(m, &handshake.Attempt{}, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %+v, want %+v", c.name, err, got, want)
		}
	}
}
