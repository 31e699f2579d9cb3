package hosts

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	mss "github.com/multiformats/go-multistream"
	"golang.org/x/sync/errgroup"

	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

func asProtocol(s string) protocol.ID { return protocol.ID(s) }

// eachStack runs f for every stack.
func eachStack(t *testing.T, f func(t *testing.T, s gopeer.Stack)) {
	for _, s := range gopeer.Stacks {
		t.Run(s.Name, func(t *testing.T) { f(t, s) })
	}
}

// conversations holds what two linked peers do with each other. Each leaves the link as it was.
var conversations = []struct {
	name string
	run  func(t *testing.T, p *pair)
}{
	{"identify", identifies}, {"records", records},
	{"push", pushes}, {"ping", pings}, {"echo", echoSizes}, {"many streams", manyStreams},
	{"half-close", halfCloses},
	{"reset", resets}, {"unknown protocol", unknownProtocol},
}

// identifies checks that both ends know agent, protocols and addresses of the other.
func identifies(t *testing.T, p *pair) {
	i := p.await(t)
	if i.PeerID != p.theirs.ID().String() || i.Wire != "libp2p" || i.Transport != p.stack.Transport ||
		i.Security != p.stack.Security || i.Muxer != p.stack.Muxer || i.Inbound == p.weDial {
		t.Errorf("the link is %+v", i)
	}
	if i.Version != gopeer.Agent || !slices.Contains(i.Listen, p.theirs.Addrs()[0].String()) {
		t.Errorf("we see the agent %q and the addresses %q", i.Version, i.Listen)
	}
	all := []string{node.Echo, "/ipfs/id/1.0.0", "/ipfs/id/push/1.0.0", "/ipfs/ping/1.0.0"}
	// go-libp2p may push those of its services a moment later
	node.Await(t, "we see all of their protocols", func() bool {
		now := p.await(t).Protocols
		return !slices.ContainsFunc(all, func(want string) bool { return !slices.Contains(now, want) })
	})
	us, book := p.ours.PeerID(), p.theirs.Peerstore()
	node.Await(t, "they have identified us", func() bool { _, err := book.Get(us, "AgentVersion"); return err == nil })
	if agent, _ := book.Get(us, "AgentVersion"); agent != node.Agent {
		t.Errorf("they see the agent %q", agent)
	}
	if seen, err := book.SupportsProtocols(us, protocol.ConvertFromStrings(all)...); err != nil ||
		len(seen) != len(all) {
		t.Errorf("of our protocols they see %q (%v)", seen, err)
	}
	for _, a := range p.ours.Host.ListenAddrs() {
		if !slices.ContainsFunc(book.Addrs(us), a.Equal) {
			t.Errorf("they see the addresses %v, we listen on %v", book.Addrs(us), a)
		}
	}
}

// pushes checks that each end learns of changes at the other.
func pushes(t *testing.T, p *pair) {
	id, us := p.id(t), p.ours.PeerID()
	const theirNew, ourNew = "/their-new/1.0.0", "/our-new/1.0.0"
	p.theirs.SetStreamHandler(theirNew, gopeer.EchoStream)
	node.Await(t, "we hear of their new protocol", func() bool {
		i, _ := p.ours.Host.Peer(id)
		return slices.Contains(i.Protocols, theirNew)
	})
	p.theirs.RemoveStreamHandler(theirNew)
	node.Await(t, "we hear that it is gone", func() bool {
		i, _ := p.ours.Host.Peer(id)
		return i.ID != "" && !slices.Contains(i.Protocols, theirNew)
	})
	if err := p.ours.Host.HandleStream(ourNew, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
		_, _ = io.Copy(s, s)
	}); err != nil {
		t.Fatal(err)
	}
	knows := func(want bool) func() bool {
		return func() bool {
			all, err := p.theirs.Peerstore().SupportsProtocols(us, ourNew)
			return err == nil && (len(all) == 1) == want
		}
	}
	node.Await(t, "they hear of our new protocol", knows(true))
	if err := echo(p.mustOpen(t, false, ourNew), 1000); err != nil {
		t.Errorf("the new protocol: %v", err)
	}
	p.ours.Host.RemoveStreamHandler(ourNew)
	node.Await(t, "they hear that it is gone", knows(false))
}

// pings pings both ways.
func pings(t *testing.T, p *pair) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	results := ping.Ping(ctx, p.theirs, p.ours.PeerID())
	for range 20 {
		if r := <-results; r.Error != nil {
			t.Fatalf("they ping: %v", r.Error)
		}
	}
	cancel()
	for range results { // until its goroutine has ended
	}
	pingOn(t, p.mustOpen(t, true, "/ipfs/ping/1.0.0"), 20)
}

// pingOn pings on a stream, and closes it.
func pingOn(t *testing.T, s stream, count int) {
	t.Helper()
	for range count {
		var sent, back [32]byte
		_, _ = rand.Read(sent[:])
		_, err := s.Write(sent[:])
		if err == nil {
			_, err = io.ReadFull(s, back[:])
		}
		if err != nil || sent != back {
			t.Fatalf("we ping: %v", err)
		}
	}
	_ = s.Close()
}

// echoSizes checks that 0 B to 16 MiB return as they were sent, in either direction.
func echoSizes(t *testing.T, p *pair) {
	for _, n := range []int{0, 1, 1023, 65535, 65536, 256<<10 - 1, 256 << 10, 256<<10 + 1, 1 << 20, 16 << 20} {
		p.echoes(t, n)
	}
}

// manyStreams has 200 streams of each end open at once, and each carries its own bytes.
func manyStreams(t *testing.T, p *pair) {
	const count = 200
	for _, us := range []bool{true, false} {
		streams := make([]stream, count)
		var opening errgroup.Group
		for i := range streams {
			opening.Go(func() (err error) {
				streams[i], err = p.open(t, us, node.Echo)
				if err != nil {
					return err
				}
				hello := fmt.Sprintf("stream %03d", i)
				if _, err = io.WriteString(streams[i], hello); err != nil {
					return err
				}
				back := make([]byte, len(hello)) // once it echoes, the stream is served
				if _, err = io.ReadFull(streams[i], back); err == nil && string(back) != hello {
					err = fmt.Errorf("%q came back as %q", hello, back)
				}
				return err
			})
		}
		if err := opening.Wait(); err != nil {
			t.Fatalf("%d streams (%s): %v", count, opener(us), err)
		}
		var echoing errgroup.Group
		for i, s := range streams {
			echoing.Go(func() error { return echo(s, 1000+100*i) })
		}
		if err := echoing.Wait(); err != nil {
			t.Errorf("%d streams (%s): %v", count, opener(us), err)
		}
	}
}

// halfCloses checks that a whole answer arrives after the question's side was closed.
func halfCloses(t *testing.T, p *pair) {
	const late = "/late/1.0.0" // answers when the question is complete
	answer := make([]byte, 1<<20)
	_, _ = rand.Read(answer)
	p.theirs.SetStreamHandler(late, func(s network.Stream) {
		_, _ = io.Copy(io.Discard, s)
		_, _ = s.Write(answer)
		_ = s.Close()
	})
	defer p.theirs.RemoveStreamHandler(late)
	if err := p.ours.Host.HandleStream(late, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
		_, _ = io.Copy(io.Discard, s)
		_, _ = s.Write(answer)
	}); err != nil {
		t.Fatal(err)
	}
	defer p.ours.Host.RemoveStreamHandler(late)
	for _, us := range []bool{true, false} {
		s := p.mustOpen(t, us, late)
		if _, err := s.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if err != nil || string(got) != string(answer) {
			t.Errorf("%s: %d bytes of the answer of %d (%v)", opener(us), len(got), len(answer), err)
		}
		if _, err := s.Write([]byte("more")); err == nil {
			t.Errorf("%s: a closed side took more", opener(us))
		}
		_ = s.Close()
	}
}

// resets checks that a reset ends a stream with an error at the other end, and nothing else of the link.
func resets(t *testing.T, p *pair) {
	const wait = "/wait/1.0.0"
	seen := make(chan error, 1)
	p.theirs.SetStreamHandler(wait, func(s network.Stream) {
		_, _ = s.Write([]byte{1}) // the stream is served now
		_, err := io.Copy(io.Discard, s)
		seen <- err
		_ = s.Reset()
	})
	defer p.theirs.RemoveStreamHandler(wait)
	if err := p.ours.Host.HandleStream(wait, func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
		_, _ = s.Write([]byte{1})
		_, err := io.Copy(io.Discard, s)
		seen <- err
	}); err != nil {
		t.Fatal(err)
	}
	defer p.ours.Host.RemoveStreamHandler(wait)
	for _, us := range []bool{true, false} {
		other := p.mustOpen(t, us, node.Echo)
		for _, size := range []int{1, 100_000} {
			s := p.mustOpen(t, us, wait)
			_, err := s.Write(make([]byte, size))
			if err == nil {
				_, err = io.ReadFull(s, make([]byte, 1))
			}
			if err != nil {
				t.Fatal(err)
			}
			reset(s)
			select {
			case err := <-seen:
				if err == nil {
					t.Errorf("%s: the other end took the reset for an end", opener(us))
				}
			case <-time.After(testTimeout):
				t.Fatalf("%s: the other end saw no reset", opener(us))
			}
			if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
				t.Errorf("%s: reading a reset stream: %v", opener(us), err)
			}
		}
		if err := echo(other, 100_000); err != nil {
			t.Errorf("%s: a stream beside one that was reset: %v", opener(us), err)
		}
	}
	p.echoes(t, 1000)
}

// unknownProtocol checks that a protocol that the other end lacks is refused, and that the link goes on.
func unknownProtocol(t *testing.T, p *pair) {
	const nonsense = "/nonsense/1.0.0"
	if _, err := p.open(t, true, nonsense); !errors.Is(err, muxer.ErrUnknownProtocol) {
		t.Errorf("we open: %v", err)
	}
	if _, err := p.open(t, false, nonsense); err == nil {
		t.Error("they opened it")
	}
	s, err := p.theirs.NewStream(p.ctx, p.ours.PeerID(), nonsense, node.Echo)
	if err != nil {
		t.Fatalf("their second choice: %v", err)
	}
	if err := echo(s, 100); err != nil {
		t.Errorf("their second choice: %v", err)
	}
	p.echoes(t, 1000)
}

// TestWrongID checks that a dialer notices another key than the expected one in the security stage. As in the other
// tests here, a CometBFT switch has a link over the same port.
func TestWrongID(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		p := newPair(t, s, node.Config{})
		caller := callComet(t, p.ours)
		defer caller.finish(t)
		other := newPair(t, s, node.Config{})
		wrong, err := transport.NewAddress(p.theirs.Addrs()[0], other.theirs.ID().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = p.ours.Host.Dial(p.ctx, wrong)
		wantStage(t, err, "security", muxer.CodeWrongID)
		at := p.ours.Info(s.Transport)
		at.ID = other.ours.PeerID()
		if err := p.theirs.Connect(p.ctx, at); err == nil {
			t.Error("they dialed the wrong id")
		}
		if all := p.ours.Host.Peers(); len(all) != 1 { // that of CometBFT
			t.Errorf("we have links: %+v", all)
		}
		p.weDial = true
		p.connect(t)
		p.echoes(t, 1000)
	})
}

// TestReconnects connects and hangs up 50 times, from either end. No connect may be refused, and nothing may be left.
func TestReconnects(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		p := newPair(t, s, node.Config{})
		caller := callComet(t, p.ours)
		defer caller.finish(t)
		began := time.Now()
		for i := range 50 {
			p.weDial = i%2 == 0
			p.connect(t)
			if i%10 == 0 {
				p.echoes(t, 100)
			}
			if i/2%2 == 0 {
				p.ours.Host.Disconnect(p.id(t), muxer.CodeRequested, "a test")
			} else if err := p.theirs.Network().ClosePeer(p.ours.PeerID()); err != nil {
				t.Fatal(err)
			}
			p.apart(t)
		}
		t.Logf("50 connects in %v", time.Since(began).Round(time.Millisecond))
	})
}

// TestSimultaneousDial lets both ends dial at once. go-libp2p keeps both connections then, and may use either: each
// that remains must serve its streams.
func TestSimultaneousDial(t *testing.T) {
	eachStack(t, func(t *testing.T, s gopeer.Stack) {
		p := newPair(t, s, node.Config{})
		caller := callComet(t, p.ours)
		defer caller.finish(t)
		crossed, two := 0, 0
		for range 5 {
			both, ctx := errgroup.WithContext(p.ctx)
			both.Go(func() error { return p.theirs.Connect(ctx, p.ours.Info(s.Transport)) })
			both.Go(func() error {
				_, err := p.ours.Host.Dial(ctx, p.address(t))
				if _, code := whereAndWhy(err); code == muxer.CodeDuplicate {
					crossed++
					return nil // the peer's own dial came first
				}
				return err
			})
			if err := both.Wait(); err != nil {
				t.Fatal(err)
			}
			p.await(t)
			time.Sleep(100 * time.Millisecond) // what ends, ends within it
			conns := p.theirs.Network().ConnsToPeer(p.ours.PeerID())
			if len(conns) == 0 || len(conns) > 2 {
				t.Fatalf("%d connections remain", len(conns))
			}
			two += len(conns) - 1
			for _, c := range conns {
				s, err := c.NewStream(p.ctx)
				if err == nil {
					err = mss.SelectProtoOrFail(asProtocol(node.Echo), s)
				}
				if err == nil {
					err = echo(s, 1000)
				}
				if err != nil {
					t.Errorf("one of %d connections does not serve: %v", len(conns), err)
				}
			}
			p.echoes(t, 1000)
			p.ours.Host.Disconnect(p.id(t), muxer.CodeRequested, "a test")
			p.apart(t)
		}
		t.Logf("of 5 dials of ours %d were beaten by theirs, and %d times both links stayed", crossed, two)
	})
}
