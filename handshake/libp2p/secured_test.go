package libp2p

import (
	"testing"
	"testing/synctest"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
)

// securedEnd is a connection that its transport has secured and muxed: yamux over a pipe in memory, whose key is
// believed.
func securedEnd(t *testing.T, raw *handshaketest.Conn, side muxer.Side,
	remote handshake.PublicKey) *handshake.SecuredConn {
	t.Helper()
	m, err := yamux.New(yamux.Config{})
	if err != nil {
		t.Fatal(err)
	}
	streams, err := m.New(raw, side)
	if err != nil {
		t.Fatal(err)
	}
	return &handshake.SecuredConn{Conn: securedConn{raw, streams}, Streams: streams, RemoteKey: remote, Security: "tls",
		Muxer: "quic"}
}

// securedConn closes the streams, too.
type securedConn struct {
	*handshaketest.Conn
	streams muxer.Streams
}

func (c securedConn) Close() error { return c.streams.CloseWith(muxer.CodeUnknown, "", 0) }

// shakeSecured does both ends' handshakes over a secured connection.
func shakeSecured(t *testing.T, dialer, listener end, dialed string) (dl, ll *handshake.Link, derr, lerr error) {
	t.Helper()
	d, l := handshaketest.Pipe("/ip4/10.0.0.1/udp/1000/quic-v1", "/ip4/10.0.0.2/udp/2000/quic-v1")
	dc, lc := securedEnd(t, d, muxer.Dialer, listener.key.Public()),
		securedEnd(t, l, muxer.Listener, dialer.key.Public())
	u := listener.upgrader(t)
	ticket, err := u.Admit(lc)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ll, lerr = u.Inbound(t.Context(), lc, ticket)
	}()
	addr, err := transport.ParseAddress("/ip4/10.0.0.2/udp/2000/quic-v1/p2p/" + dialed)
	if err != nil {
		t.Fatal(err)
	}
	dl, derr = dialer.upgrader(t).Outbound(t.Context(), dc, addr, 0)
	<-done
	return
}

// A connection that its transport has secured and muxed needs neither stage again, and has both in its record.
func TestSecured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := ends()
		dl, ll, derr, lerr := shakeSecured(t, d, l, keyB.Public().PeerID())
		if derr != nil || lerr != nil {
			t.Fatal(derr, lerr)
		}
		for _, link := range []*handshake.Link{dl, ll} {
			if link.Security != "tls" || link.Muxer != "quic" || link.Transport != "quic" ||
				link.Wire != transport.WireLibp2p {
				t.Errorf("%+v", link)
			}
			var names []string
			for _, s := range link.Stages {
				names = append(names, s.Name)
			}
			if got := names[len(names)-3:]; got[0] != handshake.StageSecurity || got[1] != handshake.StageMuxer ||
				got[2] != handshake.StageInfo {
				t.Errorf("stages %q", names)
			}
		}
		var in streamInbox
		run(t, dl, &streamInbox{})
		run(t, ll, &in)
		if err := dl.Session.Send(t.Context(), 2, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		if m := in.Await(1)[0]; string(m.Data) != "hello" {
			t.Errorf("%q", m.Data)
		}
	})
}

// A wrong peer id fails in the stage "security".
func TestSecuredWrongID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, l := ends()
		other := handshake.NewIdentity([handshake.SeedSize]byte{9})
		_, _, derr, lerr := shakeSecured(t, d, l, other.Public().PeerID())
		if stage, code := codeOf(derr); stage != handshake.StageSecurity || code != muxer.CodeWrongID {
			t.Errorf("the dialer: %v", derr)
		}
		if lerr == nil {
			t.Error("the listener has a link")
		}
	})
}
