package comet

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

func TestUpgrade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := newNode(t, 1), newNode(t, 2)
		d.channels = append(d.channels, muxer.Channel{ID: 0x20})
		d.info.Channels = []byte{0, 0x7e, 0x20}
		d.info.Moniker, l.info.Moniker = "dialer", "listener"
		l.info.Listen = []string{"/ip4/10.0.0.2/udp/26656/quic-v1", "/ip4/5.6.7.8/tcp/1234"}
		addr := l.address(t)
		dr, lr := upgrade(t, d, l, addr)
		if dr.err != nil || lr.err != nil {
			t.Fatal(dr.err, lr.err)
		}
		for _, c := range []struct {
			link   *handshake.Link
			remote *node
			side   muxer.Side
			listen string
		}{{dr.link, l, muxer.Dialer, "5.6.7.8:1234"}, {lr.link, d, muxer.Listener, "10.0.0.1:26656"}} {
			k := c.link
			if k.ID() != c.remote.key.ID() || k.RemoteKey != c.remote.key.Public() ||
				k.Remote.Moniker != c.remote.info.Moniker || k.Remote.PeerID != c.remote.key.Public().PeerID() ||
				k.Remote.Version != "1.2.3" || k.Remote.Network != "test" ||
				string(k.Remote.Channels) != string(c.remote.info.Channels) {
				t.Errorf("%v: remote is %+v", c.side, k.Remote)
			}
			if len(k.Remote.Listen) != 1 || k.Remote.Listen[0] != c.listen {
				t.Errorf("%v: remote listens at %q, want %q", c.side, k.Remote.Listen, c.listen)
			}
			if k.Wire != "comet" || k.Transport != "tcp" || k.Security != "secretconn" || k.Muxer != "mconn" ||
				k.Side != c.side || k.Confirm != nil {
				t.Errorf("%v: %+v", c.side, k)
			}
			if k.RemoteAddr == nil || k.LocalAddr == nil {
				t.Error("no addresses")
			}
		}
		if dr.link.Dialed != addr || lr.link.Dialed != (transport.Address{}) {
			t.Error("dialed address")
		}
		names := ""
		for _, s := range dr.link.Stages {
			names += s.Name + " "
		}
		if names != "transport security muxer info " || dr.link.Stages[0].Took == 0 {
			t.Errorf("stages %v", dr.link.Stages)
		}

		// A message, and a channel that only one end has.
		got := make(chan muxer.Message, 1)
		ended := make(chan error, 2)
		go func() { ended <- lr.link.Session.Run(context.Background(), deliver(got)) }()
		go func() { ended <- dr.link.Session.Run(context.Background(), deliver(nil)) }()
		err := dr.link.Session.Send(context.Background(), 0x20, []byte("x"))
		if !errors.Is(err, muxer.ErrUnknownChannel) {
			t.Errorf("channel that the remote does not serve: %v", err)
		}
		if err := dr.link.Session.Send(context.Background(), 0x7e, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if m := <-got; m.Channel != 0x7e || string(m.Data) != "hello" {
			t.Errorf("got %+v", m)
		}
		dr.link.Session.Close(muxer.CodeRequested, "")
		lr.link.Session.Close(muxer.CodeRequested, "")
		<-ended
		<-ended
	})
}

// deliver hands messages to a channel.
type deliver chan<- muxer.Message

func (deliver) Established()                              {}
func (deliver) Serves(string) bool                        { return false }
func (deliver) ServeStream(context.Context, muxer.Stream) {}
func (d deliver) Deliver(_ context.Context, msgs []muxer.Message) error {
	for _, m := range msgs {
		d <- m
	}
	return nil
}
