package hosttest_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// quietPeer is a handler that takes what comes.
type quietPeer struct{}

func (quietPeer) Established()                                   {}
func (quietPeer) Deliver(context.Context, []muxer.Message) error { return nil }
func (quietPeer) Serves(string) bool                             { return false }
func (quietPeer) ServeStream(_ context.Context, s muxer.Stream)  { _ = s.Close() }

// A connection can be injected at each checkpoint: one that says nothing more fails in the stage behind it, and one
// that has told its info is a link like any other.
func TestInject(t *testing.T) {
	for _, wire := range []string{transport.WireComet, transport.WireLibp2p} {
		for _, plain := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s plain %v", wire, plain), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					net := hosttest.New(t, hosttest.Options{Nodes: 2, Stopped: true, Plain: plain,
						Speaks: func(*hosttest.Node) []string { return []string{wire} }})
					n, stranger := net.Nodes[0], net.Nodes[1]
					n.Start()
					n.Collect(hosttest.TestChannel)
					behind := map[handshake.Checkpoint][]string{handshake.AtAccept: {handshake.StageSecurity},
						handshake.AtKey: {handshake.StageMuxer, handshake.StageInfo}}
					for at, stages := range behind {
						seen := len(n.Events(host.EventRefused))
						in, err := n.Inject(t.Context(), at, stranger, nil)
						if err != nil {
							t.Fatal(err)
						}
						time.Sleep(10 * time.Second)
						refused := n.Events(host.EventRefused)[seen:]
						if len(refused) != 1 || !strings.Contains(strings.Join(stages, " "), refused[0].Stage) ||
							refused[0].Reason.Code != muxer.CodeTimeout {
							t.Errorf("silent after checkpoint %d: %+v", at, refused)
						}
						in.Close()
					}
					if in, err := n.Inject(t.Context(), handshake.AtInfo, stranger,
						func(i *handshake.NodeInfo) { i.Network = "another" }); err == nil {
						in.Close()
						t.Error("a node of another network was taken")
					}
					in, err := n.Inject(t.Context(), handshake.AtInfo, stranger, nil)
					if err != nil {
						t.Fatal(err)
					}
					if in.Link.Confirm != nil {
						if err := in.Link.Confirm(t.Context(), nil); err != nil {
							t.Fatal(err)
						}
					}
					var wg sync.WaitGroup
					wg.Go(func() { _ = in.Link.Session.Run(context.Background(), quietPeer{}) })
					for _, text := range []string{"one", "two"} {
						if err := in.Link.Session.Send(t.Context(), hosttest.TestChannel, []byte(text)); err != nil {
							t.Fatal(err)
						}
					}
					net.AssertReceives(n, hosttest.TestChannel,
						host.Envelope{From: stranger.ID, Message: []byte("one")},
						host.Envelope{From: stranger.ID, Message: []byte("two")})
					net.AssertReceives(n, hosttest.TestChannel)
					if _, up := n.Host.Peer(stranger.ID); !up {
						t.Error("the stranger is no peer")
					}
					_ = in.Link.Session.Close(muxer.CodeRequested, "")
					wg.Wait()
					if _, err := n.Inject(t.Context(), handshake.AtAccept, n, nil); err == nil {
						t.Error("a node that runs was played")
					}
				})
			})
		}
	}
}

// failures counts what an assertion reports.
type failures struct {
	testing.TB
	lines []string
}

func (f *failures) Errorf(format string, args ...any) {
	f.lines = append(f.lines, fmt.Sprintf(format, args...))
}

// AssertReceives reports what is missing, what is other, out of order, or too much.
func TestAssertReceivesSaysWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failures{TB: t}
		net := hosttest.New(f, hosttest.Options{Nodes: 3, KnowFirst: true, Patience: 10 * time.Second})
		net.AwaitLink(net.Nodes[0], net.Nodes[1])
		net.AwaitLink(net.Nodes[0], net.Nodes[2])
		n, a, b := net.Nodes[0], net.Nodes[1], net.Nodes[2]
		n.Collect(hosttest.TestChannel)
		send := func(from *hosttest.Node, texts ...string) {
			for _, text := range texts {
				if err := from.Channels[0].Send(t.Context(), n.ID, []byte(text)); err != nil {
					t.Fatal(err)
				}
			}
		}
		of := func(from *hosttest.Node, text string) host.Envelope {
			return host.Envelope{From: from.ID, Message: []byte(text)}
		}
		for _, c := range []struct {
			send [2][]string
			want []host.Envelope
			says string
		}{
			{[2][]string{{"1", "2"}, {"3"}}, []host.Envelope{of(b, "3"), of(a, "1"), of(a, "2")}, ""},
			{[2][]string{{"1"}}, nil, "nothing more"},
			{[2][]string{{"1"}, {"2"}}, []host.Envelope{of(a, "1")}, "nothing more"},
			{[2][]string{{"2", "1"}}, []host.Envelope{of(a, "1"), of(a, "2")}, "want"},
			{[2][]string{{"1"}}, []host.Envelope{of(a, "1"), of(b, "2")}, "did not receive"},
			{[2][]string{}, nil, ""},
		} {
			f.lines = nil
			send(a, c.send[0]...)
			send(b, c.send[1]...)
			net.AssertReceives(n, hosttest.TestChannel, c.want...)
			if got := strings.Join(f.lines, "\n"); (got == "") != (c.says == "") || !strings.Contains(got, c.says) {
				t.Errorf("sent %v: %q, want %q", c.send, got, c.says)
			}
		}
	})
}
