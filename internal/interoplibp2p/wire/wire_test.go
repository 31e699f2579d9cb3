package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"

	wire "github.com/switchyard-p2p/switchyard/handshake/libp2p"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// each runs f with a link that we dialed and with a link that go-libp2p dialed, over each security.
func each(t *testing.T, f func(t *testing.T, ours *node, l *link, theirs host.Host)) {
	for _, security := range []string{"noise", "tls"} {
		for _, dialer := range []string{"we dial", "they dial"} {
			t.Run(security+"/"+dialer, func(t *testing.T) {
				ours, theirs := newNode(t, 1, "noise", "tls"), newHost(t, security)
				f(t, ours, connect(t, ours, theirs, dialer == "we dial"), theirs)
			})
		}
	}
}

func connect(t *testing.T, ours *node, theirs host.Host, weDial bool) *link {
	t.Helper()
	if weDial {
		l, err := ours.dial(theirs)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if err := theirs.Connect(ours.ctx, ours.addrInfo()); err != nil {
		t.Fatal(err)
	}
	select {
	case l := <-ours.links:
		return l
	case <-ours.ctx.Done():
		t.Fatal("go-libp2p is connected, we are not")
		return nil
	}
}

// Both ends learn agent, protocols and addresses of each other.
func TestIdentify(t *testing.T) {
	each(t, func(t *testing.T, ours *node, l *link, theirs host.Host) {
		r := l.Remote
		if r.PeerID != theirs.ID().String() || r.Version != "go-libp2p/test" || !r.Guest {
			t.Errorf("we see %+v", r)
		}
		if !slices.Contains(r.Protocols, echoProtocol) || !slices.Contains(r.Listen, theirs.Addrs()[0].String()) {
			t.Errorf("we see the protocols %q and the addresses %q", r.Protocols, r.Listen)
		}
		if l.Muxer != "yamux" || l.Wire != "libp2p" || l.Transport != "tcp" || len(l.Stages) < 3 {
			t.Errorf("the link is %+v", l.Link)
		}
		us := ours.addrInfo().ID
		// When we have dialed, go-libp2p asks in its own time.
		if _, err := theirs.NewStream(ours.ctx, us, echoProtocol); err != nil {
			t.Fatal(err)
		}
		agent, err := theirs.Peerstore().Get(us, "AgentVersion")
		if err != nil || agent != "switchyard/test" {
			t.Errorf("they see the agent %v (%v)", agent, err)
		}
		p, err := theirs.Peerstore().SupportsProtocols(us, echoProtocol, "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0")
		if err != nil || len(p) != 3 {
			t.Errorf("of our protocols they see %v (%v)", p, err)
		}
		if a := theirs.Peerstore().Addrs(us); len(a) == 0 || !slices.ContainsFunc(a, ours.listener.Addr().Equal) {
			t.Errorf("they see the addresses %v", a)
		}
	})
}

func TestPing(t *testing.T) {
	each(t, func(t *testing.T, ours *node, l *link, theirs host.Host) {
		rtts, err := wire.Ping(ours.ctx, l.Session, 10)
		if err != nil || len(rtts) != 10 {
			t.Errorf("we ping: %v (%v)", rtts, err)
		}
		if rtt, err := l.Session.Ping(ours.ctx); err != nil || rtt <= 0 {
			t.Errorf("the muxer pings: %v (%v)", rtt, err)
		}
		ctx, cancel := context.WithCancel(ours.ctx)
		defer cancel()
		results := ping.Ping(ctx, theirs, ours.addrInfo().ID)
		for range 10 {
			if r := <-results; r.Error != nil {
				t.Fatalf("they ping: %v", r.Error)
			}
		}
		cancel()
		for range results { // until its goroutine has ended
		}
	})
}

// stream is what the streams of both stacks have in common.
type stream interface {
	io.ReadWriter
	CloseWrite() error
	Close() error
}

func echo(t *testing.T, s stream, n int) {
	t.Helper()
	want := make([]byte, n)
	for i := range want {
		want[i] = byte(rand.Uint32())
	}
	failed := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		failed <- errors.Join(err, s.CloseWrite())
	}()
	got, err := io.ReadAll(s)
	if err := errors.Join(err, <-failed); err != nil {
		t.Fatalf("echo of %d bytes: %v", n, err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("an echo of %d bytes came back as %d", n, len(got))
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Streams are echoed whole, and the end of one direction does not end the other.
func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, ours *node, l *link, theirs host.Host) {
		for _, n := range []int{0, 1, 100, 65535, 65536, 256 << 10, 256<<10 + 1, 1 << 20, 16 << 20} {
			s, err := l.open(ours.ctx, echoProtocol)
			if err != nil {
				t.Fatal(err)
			}
			echo(t, s, n)
			g, err := theirs.NewStream(ours.ctx, ours.addrInfo().ID, echoProtocol)
			if err != nil {
				t.Fatal(err)
			}
			echo(t, g, n)
		}
	})
}

// A protocol that the other end lacks is refused, and the link goes on.
func TestUnknownProtocol(t *testing.T) {
	each(t, func(t *testing.T, ours *node, l *link, theirs host.Host) {
		if _, err := l.open(ours.ctx, "/nonsense/1.0.0"); !errors.Is(err, muxer.ErrUnknownProtocol) {
			t.Errorf("we: %v", err)
		}
		if _, err := theirs.NewStream(ours.ctx, ours.addrInfo().ID, "/nonsense/1.0.0"); err == nil {
			t.Error("they opened it")
		}
		g, err := theirs.NewStream(ours.ctx, ours.addrInfo().ID, protocol.ID("/nonsense/1.0.0"), echoProtocol)
		if err != nil {
			t.Fatalf("the second choice: %v", err)
		}
		echo(t, g, 100)
		s, err := l.open(ours.ctx, echoProtocol)
		if err != nil {
			t.Fatal(err)
		}
		echo(t, s, 100)
	})
}

// A stream that is reset in the middle ends with an error at the other end, and the link goes on.
func TestReset(t *testing.T) {
	each(t, func(t *testing.T, ours *node, l *link, theirs host.Host) {
		seen := make(chan error, 2)
		theirs.SetStreamHandler("/wait/1.0.0", func(s network.Stream) {
			_, err := io.Copy(io.Discard, s)
			seen <- err
			s.Reset()
		})
		s, err := l.open(ours.ctx, "/wait/1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		s.Write(make([]byte, 100_000))
		s.Reset(muxer.CodeUnknown)
		if err := <-seen; err == nil {
			t.Error("they saw no reset")
		}
		g, err := theirs.NewStream(ours.ctx, ours.addrInfo().ID, echoProtocol)
		if err != nil {
			t.Fatal(err)
		}
		g.Write(make([]byte, 100_000))
		g.Reset()
		s, err = l.open(ours.ctx, echoProtocol)
		if err != nil {
			t.Fatal(err)
		}
		echo(t, s, 1<<20)
	})
}

// An orderly end ends the other side at once, too.
func TestClose(t *testing.T) {
	each(t, func(t *testing.T, ours *node, l *link, theirs host.Host) {
		if err := theirs.Network().ClosePeer(ours.addrInfo().ID); err != nil {
			t.Fatal(err)
		}
		var ce *muxer.CloseError
		if err := <-l.ended; !errors.Is(err, io.EOF) &&
			!(errors.As(err, &ce) && ce.Remote && ce.Code == muxer.CodeRemoteClosed) {
			t.Errorf("they close: %v", err)
		}
		l = connect(t, ours, theirs, true)
		gone := make(chan struct{})
		theirs.Network().Notify(&network.NotifyBundle{
			DisconnectedF: func(network.Network, network.Conn) { close(gone) },
		})
		l.Session.Close(muxer.CodeShuttingDown, "")
		<-l.ended
		select {
		case <-gone:
		case <-ours.ctx.Done():
			t.Error("they did not notice")
		}
	})
}

// A wrong id is noticed in the security stage.
func TestWrongID(t *testing.T) {
	for _, security := range []string{"noise", "tls"} {
		ours, theirs := newNode(t, 1, security), newHost(t, security)
		other := newNode(t, 9, security).addrInfo().ID
		addr, err := transport.NewAddress(theirs.Addrs()[0], other.String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ours.dialAddress(addr); muxerCode(err) != muxer.CodeWrongID {
			t.Errorf("%s: we dialed the wrong id: %v", security, err)
		}
		if err := theirs.Connect(ours.ctx, peer.AddrInfo{ID: other, Addrs: ours.addrInfo().Addrs}); err == nil {
			t.Errorf("%s: they dialed the wrong id", security)
		}
	}
}

func TestReconnects(t *testing.T) {
	ours, theirs := newNode(t, 1, "noise"), newHost(t, "noise", "tls")
	began := time.Now()
	for i := range 50 {
		l := connect(t, ours, theirs, i%2 == 0)
		l.Session.Close(muxer.CodeRequested, "")
		<-l.ended
		for theirs.Network().Connectedness(ours.addrInfo().ID) == network.Connected {
			if time.Since(began) > testTimeout {
				t.Fatal("they hold on to the link")
			}
			theirs.Network().ClosePeer(ours.addrInfo().ID)
		}
	}
}
