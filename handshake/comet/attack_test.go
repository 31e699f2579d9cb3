package comet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protodelim"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/internal/cometpb"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// failure takes an error of the upgrader apart.
func failure(t *testing.T, err error) (stage string, code muxer.Code, remote bool) {
	t.Helper()
	var s *handshake.StageError
	var r *handshake.Refusal
	switch {
	case errors.As(err, &r):
		return r.Stage, r.Code, r.Remote
	case errors.As(err, &s):
		return s.Stage, s.Code, false
	}
	t.Fatalf("error of type %T: %v", err, err)
	return
}

// relay passes up to limit bytes from src to dst, one by one with a pause if there is one, and reports how many there
// were. Then it is silent, or hangs up.
func relay(dst, src *handshaketest.Conn, limit int, pause time.Duration, hangUp bool) int {
	buf := make([]byte, 4096)
	for passed := 0; ; {
		n := len(buf)
		if pause > 0 {
			n = 1
		}
		if n = min(n, limit-passed); n == 0 {
			if hangUp {
				_ = dst.CloseWrite()
			}
			_, _ = io.Copy(io.Discard, src)
			return passed
		}
		n, err := src.Read(buf[:n])
		if pause > 0 {
			time.Sleep(pause)
		}
		if n > 0 {
			_, _ = dst.Write(buf[:n])
			passed += n
		}
		if err != nil {
			_ = dst.CloseWrite()
			return passed
		}
	}
}

// between puts a relay between two nodes that handshake, which passes the listener's bytes to the dialer as relay says.
func between(t *testing.T, d, l *node, limit int, pause time.Duration, hangUp bool) (dr, lr result, passed int) {
	t.Helper()
	a, a2 := handshaketest.Pipe(dialerAddr, listenerAddr)
	b2, b := handshaketest.Pipe(dialerAddr, listenerAddr)
	there, back := make(chan int, 1), make(chan int, 1)
	go func() { there <- relay(b2, a2, 1<<30, 0, false) }()
	go func() { back <- relay(a2, b2, limit, pause, hangUp) }()
	dr, lr = upgradeOver(t, d, l, l.address(t), a, b)
	a.Close()
	b.Close()
	<-there
	return dr, lr, <-back
}

// long makes a node's info take several frames.
func long(n *node) *node {
	n.info.Moniker = strings.Repeat("m", 3000)
	return n
}

// However far a remote goes before it falls silent, our end gives up at the deadline and names the stage.
func TestSilenceAtEveryStep(t *testing.T) {
	whole := 0
	synctest.Test(t, func(t *testing.T) {
		dr, lr, passed := between(t, newNode(t, 1), long(newNode(t, 2)), 1<<30, 0, false)
		if dr.err != nil || lr.err != nil {
			t.Fatal(dr.err, lr.err)
		}
		whole = passed
	})
	const frame = 1044
	for _, sent := range []int{0, 1, 2, 34, 35, 36,
		35 + frame - 1, 35 + frame, 35 + frame + 1, 35 + 2*frame, whole - 1} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			dr, lr, _ := between(t, newNode(t, 1), long(newNode(t, 2)), sent, 0, false)
			want := handshake.StageSecurity
			if sent >= 35+frame {
				want = handshake.StageInfo
			}
			if stage, code, _ := failure(t, dr.err); stage != want || code != muxer.CodeTimeout {
				t.Errorf("after %d of %d bytes: %v", sent, whole, dr.err)
			}
			if lr.err == nil && time.Since(began) != handshake.DefaultTimeout {
				t.Errorf("after %d bytes: ended after %v", sent, time.Since(began))
			}
		})
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			dr, _, _ := between(t, newNode(t, 1), long(newNode(t, 2)), sent, 0, true)
			if _, code, _ := failure(t, dr.err); code != muxer.CodeRemoteClosed || time.Since(began) != 0 {
				t.Errorf("hung up after %d of %d bytes: %v", sent, whole, dr.err)
			}
		})
	}
}

func TestTrickle(t *testing.T) {
	for pause, ok := range map[time.Duration]bool{time.Millisecond: true, 10 * time.Millisecond: false} {
		synctest.Test(t, func(t *testing.T) {
			dr, _, _ := between(t, newNode(t, 1), newNode(t, 2), 1<<30, pause, false)
			if ok {
				if dr.err != nil {
					t.Error(dr.err)
				}
				return
			}
			if _, code, _ := failure(t, dr.err); code != muxer.CodeTimeout {
				t.Error(dr.err)
			}
		})
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name         string
		change       func(d, l *node)
		addr         func(d, l *node) transport.Address // default: l's
		dialer       string                             // stage, code of the dialer's end
		listener     string
		dialerSays   string
		listenerSays string
	}{
		{"other network", func(d, l *node) { l.info.Network = "other" }, nil, "info wrong-network",
			"info wrong-network", `of network "other", we are of "test"`, `of network "test"`},
		{"other block protocol", func(d, l *node) { d.info.BlockVersion = 10 }, nil, "info incompatible",
			"info incompatible", "block protocol 11", "block protocol 10"},
		{"no common channel", func(d, l *node) { l.info.Channels = []byte{0x40} }, nil, "info incompatible",
			"info incompatible", "no common channel", "no common channel"},
		{"self", func(d, l *node) { *l = *newNode(t, 1) }, func(d, l *node) transport.Address {
			return transport.Address{}
		}, "security self", "security self", "ourselves", "ourselves"},
		{"self that we believed another", func(d, l *node) { *l = *newNode(t, 1) }, func(d, l *node) transport.Address {
			return newNode(t, 7).address(t)
		}, "security self", "security self", "", ""},
		{"other node", func(d, l *node) {}, func(d, l *node) transport.Address { return newNode(t, 7).address(t) },
			"security wrong-id", "", string(newNode(t, 7).key.ID()), ""},
		{"gate at the key", func(d, l *node) {
			l.gates = []handshake.Gate{func(v handshake.Visitor) error {
				if v.At == handshake.AtKey {
					return &handshake.Refusal{Code: muxer.CodeBanned, Reason: "a bad one"}
				}
				return nil
			}}
		}, nil, "", "security banned", "", "a bad one"},
		{"gate at the info", func(d, l *node) {
			d.gates = []handshake.Gate{func(v handshake.Visitor) error {
				if v.At == handshake.AtInfo && v.Info.Moniker == "node" {
					return errors.New("I do not like it")
				}
				return nil
			}}
		}, nil, "info filtered", "", "I do not like it", ""},
		{"our own moniker", func(d, l *node) { d.info.Moniker = "é" }, nil, "info invalid-info",
			"security remote-closed", "our own node info", ""},
		{"our own channels", func(d, l *node) { d.info.Channels = make([]byte, 17) }, nil, "info invalid-info",
			"security remote-closed", "our own node info: channels", ""},
		{"our own size", func(d, l *node) { d.info.Moniker = strings.Repeat("m", handshake.MaxNodeInfoSize) }, nil,
			"info invalid-info", "security remote-closed", "our own node info: 10", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, l := newNode(t, 1), newNode(t, 2)
				c.change(d, l)
				addr := l.address(t)
				if c.addr != nil {
					addr = c.addr(d, l)
				}
				dr, lr := upgrade(t, d, l, addr)
				for _, e := range []struct {
					who, want, says string
					err             error
				}{{"dialer", c.dialer, c.dialerSays, dr.err}, {"listener", c.listener, c.listenerSays, lr.err}} {
					if e.want == "" {
						continue // whether the other end's refusal comes in time is a race
					}
					stage, code, remote := failure(t, e.err)
					if got := stage + " " + code.String(); got != e.want || remote ||
						!strings.Contains(e.err.Error(), e.says) {
						t.Errorf("%s: %s: %v", e.who, got, e.err)
					}
				}
			})
		})
	}
}

// rogue does the remote's half of a handshake with bytes of its own in place of a node info, and returns what our end
// makes of it.
func rogue(t *testing.T, early []byte, then func(*secretconn.Conn)) (*handshake.Link, error) {
	t.Helper()
	l := newNode(t, 2)
	a, b := handshaketest.Pipe(dialerAddr, listenerAddr)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := secretconn.Handshake(context.Background(), a, newNode(t, 1).key, secretconn.Options{})
		if err != nil {
			return
		}
		_, _ = c.Write(early)
		_ = c.Flush()
		if then != nil {
			then(c)
		}
	}()
	u := l.upgrader(t)
	ticket, err := u.Admit(b)
	if err != nil {
		t.Fatal(err)
	}
	link, err := u.Inbound(context.Background(), b, ticket)
	<-done
	return link, err
}

// protoInfo is a good node info of node 1.
func protoInfo(t *testing.T) *cometpb.NodeInfo {
	return &cometpb.NodeInfo{
		ProtocolVersion: &cometpb.ProtocolVersion{P2P: 8, Block: 11, App: 3}, NodeId: string(newNode(t, 1).key.ID()),
		ListenAddr: "tcp://0.0.0.0:26656",
		Network:    "test", Version: "0.38.0", Channels: []byte{0x40, 0}, Moniker: "rogue",
		Other: &cometpb.NodeInfoOther{TxIndex: "on", RpcAddress: "tcp://0.0.0.0:26657"},
	}
}

func delimited(t *testing.T, m proto.Message) []byte {
	t.Helper()
	var b strings.Builder
	if _, err := protodelim.MarshalTo(&b, m); err != nil {
		t.Fatal(err)
	}
	return []byte(b.String())
}

func TestBadNodeInfos(t *testing.T) {
	change := func(f func(*cometpb.NodeInfo)) func(*testing.T) []byte {
		return func(t *testing.T) []byte {
			n := protoInfo(t)
			f(n)
			return delimited(t, n)
		}
	}
	raw := func(b ...byte) func(*testing.T) []byte { return func(*testing.T) []byte { return b } }
	for _, c := range []struct {
		name string
		info func(*testing.T) []byte
		code muxer.Code
		want string
	}{
		{"good", change(func(*cometpb.NodeInfo) {}), 0, ""},
		{"no app version, no other", change(func(n *cometpb.NodeInfo) { n.ProtocolVersion.App, n.Other = 0, nil }), 0,
			""},
		{"10,240 bytes", change(func(n *cometpb.NodeInfo) {
			n.Moniker = strings.Repeat("m", handshake.MaxNodeInfoSize-proto.Size(n)-1+len(n.Moniker))
		}), 0, ""},
		{"10,241 bytes", change(func(n *cometpb.NodeInfo) {
			n.Moniker = strings.Repeat("m", handshake.MaxNodeInfoSize-proto.Size(n)+len(n.Moniker))
		}), muxer.CodeInvalidInfo, "10241 bytes"},
		{"a length of 2^63", raw(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), muxer.CodeInvalidInfo,
			"at most 10240"},
		{"a length without end", func(*testing.T) []byte { return []byte(strings.Repeat("\xff", 100)) },
			muxer.CodeInvalidInfo, "at most 10240"},
		{"empty", raw(0), muxer.CodeInvalidInfo, "listen address"},
		{"junk", raw(4, 0xde, 0xad, 0xbe, 0xef), muxer.CodeInvalidInfo, "cannot be decoded"},
		{"wrong wire type", raw(2, 2<<3, 1), muxer.CodeInvalidInfo, "listen address"},
		{"17 channels", change(func(n *cometpb.NodeInfo) { n.Channels = []byte("0123456789abcdefg") }),
			muxer.CodeInvalidInfo, "17 of them"},
		{"duplicate channel", change(func(n *cometpb.NodeInfo) { n.Channels = []byte{0, 1, 0} }), muxer.CodeInvalidInfo,
			"twice"},
		{"moniker with newline", change(func(n *cometpb.NodeInfo) { n.Moniker = "a\nb" }), muxer.CodeInvalidInfo,
			`moniker "a\nb"`},
		{"moniker in UTF-8", change(func(n *cometpb.NodeInfo) { n.Moniker = "nœud" }), muxer.CodeInvalidInfo,
			"moniker"},
		{"no moniker", change(func(n *cometpb.NodeInfo) { n.Moniker = "" }), muxer.CodeInvalidInfo, "moniker"},
		{"another's id", change(func(n *cometpb.NodeInfo) { n.NodeId = strings.Repeat("ab", 20) }),
			muxer.CodeInvalidInfo, "the id is"},
		{"id in upper case", change(func(n *cometpb.NodeInfo) { n.NodeId = strings.ToUpper(n.NodeId) }),
			muxer.CodeInvalidInfo, "the id is"},
		{"no version of the block protocol", change(func(n *cometpb.NodeInfo) { n.ProtocolVersion = nil }),
			muxer.CodeIncompatible, "block protocol 0"},
		{"other network", change(func(n *cometpb.NodeInfo) { n.Network = "evil\x1b[31m" }), muxer.CodeWrongNetwork,
			`evil\x1b[31m`},
		{"listen without port", change(func(n *cometpb.NodeInfo) { n.ListenAddr = "1.2.3.4" }), muxer.CodeInvalidInfo,
			"missing port"},
		{"listen nowhere", change(func(n *cometpb.NodeInfo) { n.ListenAddr = "" }), muxer.CodeInvalidInfo,
			"listen address"},
		{"listen at a name", change(func(n *cometpb.NodeInfo) { n.ListenAddr = "tcp://no-such-name.invalid:1" }), 0,
			""},
		{"listen at an id", change(func(n *cometpb.NodeInfo) { n.ListenAddr = "x@1.2.3.4:5" }), muxer.CodeInvalidInfo,
			"neither an IP"},
		{"tx index", change(func(n *cometpb.NodeInfo) { n.Other.TxIndex = "yes" }), muxer.CodeInvalidInfo, "tx_index"},
		{"rpc address", change(func(n *cometpb.NodeInfo) { n.Other.RpcAddress = "\t" }), muxer.CodeInvalidInfo,
			"rpc_address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				link, err := rogue(t, c.info(t), nil)
				if time.Since(began) != 0 {
					t.Errorf("took %v", time.Since(began))
				}
				if c.want == "" {
					if err != nil {
						t.Fatal(err)
					}
					_ = link.Session.Close(muxer.CodeRequested, "")
					return
				}
				if stage, code, _ := failure(t, err); stage != handshake.StageInfo || code != c.code ||
					!strings.Contains(err.Error(), c.want) {
					t.Error(err)
				}
				if s := err.Error(); len(s) > 300 || strings.ContainsAny(s, "\n\t\x1b") {
					t.Errorf("error text %q", s)
				}
			})
		})
	}
}

// A remote that sends a length and then nothing holds no memory for the body, and is given up at the deadline.
func TestInfoThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		_, err := rogue(t, protowire.AppendVarint(nil, handshake.MaxNodeInfoSize), nil)
		if stage, code, _ := failure(t, err); stage != handshake.StageInfo || code != muxer.CodeTimeout ||
			time.Since(began) != handshake.DefaultTimeout {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, err := rogue(t, nil, func(c *secretconn.Conn) { c.Close() })
		if stage, code, _ := failure(t, err); stage != handshake.StageInfo || code != muxer.CodeRemoteClosed ||
			!strings.Contains(err.Error(), "refused us without a reason") {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		_, err := rogue(t, []byte{100, 1, 2, 3}, func(c *secretconn.Conn) { c.Close() })
		if stage, code, _ := failure(t, err); stage != handshake.StageInfo || code != muxer.CodeRemoteClosed ||
			!strings.Contains(err.Error(), "after 3 of 100 bytes") {
			t.Error(err)
		}
	})
}

// Packets that arrive together with the node info reach the session.
func TestPacketsBehindTheInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := delimited(t, protoInfo(t))
		for i := range 100 {
			early = append(early,
				delimited(t, &cometpb.Packet{Sum: &cometpb.Packet_Msg{Msg: &cometpb.PacketMsg{ChannelId: 0, Eof: true,
					Data: fmt.Appendf(nil, "message %d", i)}}})...)
		}
		link, err := rogue(t, early, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan muxer.Message, 200)
		ended := make(chan error, 1)
		go func() { ended <- link.Session.Run(context.Background(), deliver(got)) }()
		for i := range 100 {
			if m := <-got; string(m.Data) != fmt.Sprintf("message %d", i) {
				t.Fatalf("message %d is %q", i, m.Data)
			}
		}
		_ = link.Session.Close(muxer.CodeRequested, "")
		<-ended
	})
}

// brokenSigner is an identity whose key is elsewhere, and cannot be reached.
type brokenSigner struct {
	handshake.Identity
	wait bool
}

func (s brokenSigner) Sign(ctx context.Context, _ handshake.Purpose, _ []byte) ([]byte, error) {
	if s.wait {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, errors.New("the signer is away")
}

// A failure of our own key is not an authentication failure of the remote.
func TestSignerFails(t *testing.T) {
	for _, wait := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			d, l := newNode(t, 1), newNode(t, 2)
			var err error
			if d.wire, err = New(Config{Identity: brokenSigner{d.key, wait}, Secure: secure}); err != nil {
				t.Fatal(err)
			}
			dr, lr := upgrade(t, d, l, l.address(t))
			if stage, code, _ := failure(t, dr.err); stage != handshake.StageSecurity ||
				code != muxer.CodeNoSignature {
				t.Error(dr.err)
			}
			if !wait && !strings.Contains(dr.err.Error(), "the signer is away") {
				t.Error(dr.err)
			}
			if lr.err == nil {
				t.Error("the listener has a link")
			}
		})
	}
}

func TestNeedsBytes(t *testing.T) {
	if newNode(t, 1).wire.Recognizes(nil) {
		t.Error("the wire takes secured connections")
	}
	if _, err := New(Config{}); err == nil {
		t.Error("an empty Config")
	}
}
