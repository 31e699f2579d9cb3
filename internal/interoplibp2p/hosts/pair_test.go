package hosts

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/gopeer"
	"github.com/switchyard-p2p/switchyard/internal/interoplibp2p/node"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// testTimeout bounds what a broken test may take; no test waits for it.
const testTimeout = 40 * time.Second

// pair is one of our nodes and a go-libp2p host.
type pair struct {
	stack  gopeer.Stack
	ours   *node.Node
	theirs p2phost.Host
	weDial bool
	ctx    context.Context
}

func newPair(t *testing.T, s gopeer.Stack, c node.Config, more ...libp2p.Option) *pair {
	t.Helper()
	return pairWith(t, s, node.Start(t, c), more...)
}

// pairWith makes a pair with a running node.
func pairWith(t *testing.T, s gopeer.Stack, ours *node.Node, more ...libp2p.Option) *pair {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testTimeout)
	t.Cleanup(cancel)
	return &pair{stack: s, ours: ours, theirs: gopeer.Start(t, s, more...), ctx: ctx}
}

// address returns where we dial the go-libp2p host.
func (p *pair) address(t *testing.T) transport.Address { return addressOf(t, p.theirs) }

func addressOf(t *testing.T, h p2phost.Host) transport.Address {
	t.Helper()
	a, err := transport.NewAddress(h.Addrs()[0], h.ID().String())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// id returns the host's node id.
func (p *pair) id(t *testing.T) transport.NodeID { return p.address(t).ID() }

// connect makes the link and returns what we know of it.
func (p *pair) connect(t *testing.T) host.PeerInfo {
	t.Helper()
	if p.weDial {
		info, err := p.ours.Host.Dial(p.ctx, p.address(t))
		if err != nil {
			t.Fatalf("we dial: %v", err)
		}
		return info
	}
	if err := p.theirs.Connect(p.ctx, p.ours.Info(p.stack.Transport)); err != nil {
		t.Fatalf("they dial: %v", err)
	}
	return p.await(t)
}

// await waits until we have the link.
func (p *pair) await(t *testing.T) (info host.PeerInfo) {
	t.Helper()
	id := p.id(t)
	node.Await(t, "we have the link", func() (ok bool) {
		info, ok = p.ours.Host.Peer(id)
		return ok
	})
	return info
}

// apart waits until neither end has a link.
func (p *pair) apart(t *testing.T) {
	t.Helper()
	id := p.id(t)
	node.Await(t, "both ends see the end of the link", func() bool {
		_, up := p.ours.Host.Peer(id)
		return !up && len(p.theirs.Network().ConnsToPeer(p.ours.PeerID())) == 0
	})
}

// stream is what the streams of both stacks have in common.
type stream interface {
	io.ReadWriter
	CloseWrite() error
	Close() error
	SetDeadline(time.Time) error
}

// open opens a stream to the other end's echo: from us, or from go-libp2p.
func (p *pair) open(t *testing.T, fromUs bool, protocol string) (stream, error) {
	if fromUs {
		s, err := p.ours.Host.OpenStream(p.ctx, p.id(t), protocol)
		if err == nil {
			_, err = s.Read(nil) // until they have taken the protocol
		}
		if err != nil {
			return nil, err
		}
		_ = s.SetDeadline(time.Now().Add(testTimeout))
		return s, nil
	}
	s, err := p.theirs.NewStream(p.ctx, p.ours.PeerID(), asProtocol(protocol))
	if err != nil {
		return nil, err
	}
	_ = s.SetDeadline(time.Now().Add(testTimeout))
	return s, nil
}

func (p *pair) mustOpen(t *testing.T, fromUs bool, protocol string) stream {
	t.Helper()
	s, err := p.open(t, fromUs, protocol)
	if err != nil {
		t.Fatalf("open %s (%s): %v", protocol, opener(fromUs), err)
	}
	return s
}

// reset ends both directions of a stream at once.
func reset(s stream) {
	switch s := s.(type) {
	case muxer.Stream:
		_ = s.Reset(muxer.CodeRequested)
	case network.Stream:
		_ = s.Reset()
	}
}

func opener(us bool) string {
	if us {
		return "we open"
	}
	return "they open"
}

// echo sends n bytes, closes our side, and compares what returns.
func echo(s stream, n int) error {
	want := make([]byte, n)
	rnd := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	_, _ = rnd.Read(want)
	failed := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		failed <- errors.Join(err, s.CloseWrite())
	}()
	got, err := io.ReadAll(s)
	if err := errors.Join(err, <-failed); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("the bytes came back changed")
	}
	return s.Close()
}

// echoes checks that the link works.
func (p *pair) echoes(t *testing.T, size int) {
	t.Helper()
	for _, us := range []bool{true, false} {
		if err := echo(p.mustOpen(t, us, node.Echo), size); err != nil {
			t.Errorf("echo of %d bytes (%s): %v", size, opener(us), err)
		}
	}
}
