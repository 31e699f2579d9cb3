package storm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/switchyard-p2p/switchyard/internal/longtest"
	"github.com/switchyard-p2p/switchyard/modules/golibp2p/internal/hostkit"
)

// patience is how long a test waits for what must happen. It is no measurement.
const patience = 30 * time.Second

// echoProtocol is served by every host.
const echoProtocol protocol.ID = "/storm/echo/1.0.0"

// often returns how often a test does something: long with SWITCHYARD_LONG, short otherwise.
func often(long, short int) int {
	if longtest.Long() {
		return long
	}
	return short
}

// kinds are the two kinds of hosts.
var kinds = []struct {
	name string
	make hostkit.Make
}{{"ours", hostkit.Ours}, {"theirs", hostkit.Theirs}}

// start makes a host that serves echoes until the test ends.
func start(t *testing.T, make hostkit.Make, o hostkit.Options) host.Host {
	t.Helper()
	h, err := make(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		_ = s.SetDeadline(time.Now().Add(patience))
		if _, err := io.Copy(s, s); err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
	})
	return h
}

// mixture makes n hosts, ours and theirs in turn. They end at once, not one by one.
func mixture(t *testing.T, n int, options func(i int) hostkit.Options) []host.Host {
	t.Helper()
	hosts := make([]host.Host, n)
	t.Cleanup(func() {
		var wg sync.WaitGroup
		for _, h := range hosts {
			if h != nil {
				wg.Go(func() { _ = h.Close() })
			}
		}
		wg.Wait()
	})
	for i := range hosts {
		h, err := kinds[i%2].make(options(i))
		if err != nil {
			t.Fatal(err)
		}
		hosts[i] = h
	}
	return hosts
}

// all speaks the same everywhere.
func all(via hostkit.Via) func(int) hostkit.Options {
	return func(int) hostkit.Options { return hostkit.Options{Via: via} }
}

// within returns a context of the test that ends after patience.
func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// opener opens streams: a host to a peer, or one connection.
type opener func(context.Context) (network.Stream, error)

func toPeer(h host.Host, p peer.ID) opener {
	return func(ctx context.Context) (network.Stream, error) { return h.NewStream(ctx, p, echoProtocol) }
}

// echo sends text over a new stream and expects it back.
func echo(ctx context.Context, open opener, text string) error {
	s, err := open(ctx)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	deadline, _ := ctx.Deadline()
	_ = s.SetDeadline(deadline)
	if _, err = s.Write([]byte(text)); err == nil {
		err = s.CloseWrite()
	}
	if err != nil {
		_ = s.Reset()
		return fmt.Errorf("write: %w", err)
	}
	back, err := io.ReadAll(io.LimitReader(s, int64(len(text))+1))
	if err == nil && !bytes.Equal(back, []byte(text)) {
		err = fmt.Errorf("%q came back as %q", text, back)
	}
	if err != nil {
		_ = s.Reset()
		return fmt.Errorf("read: %w", err)
	}
	return s.Close()
}

// ends tells of the ends of a peer's connections at a host.
func ends(t *testing.T, h host.Host, p peer.ID) <-chan network.Conn {
	down := make(chan network.Conn, 1<<12)
	n := &network.NotifyBundle{DisconnectedF: func(_ network.Network, c network.Conn) {
		if c.RemotePeer() == p {
			down <- c
		}
	}}
	h.Network().Notify(n)
	t.Cleanup(func() { h.Network().StopNotify(n) })
	return down
}

var errTooLate = errors.New("it did not happen in time")

// next waits for the next connection.
func next(ctx context.Context, from <-chan network.Conn) (network.Conn, error) {
	select {
	case c := <-from:
		return c, nil
	case <-ctx.Done():
		return nil, errTooLate
	}
}
