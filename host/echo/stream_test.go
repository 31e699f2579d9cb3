package echo_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/echo"
	"github.com/switchyard-p2p/switchyard/host/hosttest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// echoPair is two nodes over libp2p that both run the service.
func echoPair(t *testing.T) (a, b *hosttest.Node) {
	t.Helper()
	net := hosttest.New(t, hosttest.Options{Plain: true, Speaks: func(*hosttest.Node) []string {
		return []string{transport.WireLibp2p}
	},
		Services: func(n *hosttest.Node) ([]hosttest.Service, error) {
			s, err := echo.New(echo.Config{}, n.Host.OpenChannel, nil)
			if err != nil {
				return nil, err
			}
			return []hosttest.Service{s.Run}, s.HandleStreams(n.Host.HandleStream)
		}})
	net.Nodes[0].Dial(net.Nodes[1])
	net.AwaitLink(net.Nodes[0], net.Nodes[1])
	return net.Nodes[0], net.Nodes[1]
}

// Streams of all sizes come back, many at once too.
func TestStreamsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := echoPair(t)
		for _, size := range []int64{0, 1, 32<<10 - 1, 32 << 10, 1 << 20, 3<<20 + 1} {
			if _, err := echo.Stream(t.Context(), echo.To(a.Host, b.ID), size); err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
		}
		var wg sync.WaitGroup
		for range 200 {
			wg.Go(func() {
				if _, err := echo.Stream(t.Context(), echo.To(b.Host, a.ID), 10_000); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	})
}

// A stream that stands still is reset in the end.
func TestIdleStreamsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := echoPair(t)
		s, err := a.Host.OpenStream(t.Context(), b.ID, echo.StreamProtocol)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := s.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) ||
			time.Since(began) > 5*time.Minute {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		_ = s.Close()
	})
}

// The caller notices a wrong echo.
func TestStreamNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := echoPair(t)
		protocol := "/bad"
		call := func(ctx context.Context, bad host.StreamHandler) error {
			if err := b.Host.HandleStream(protocol, bad); err != nil {
				t.Fatal(err)
			}
			defer b.Host.RemoveStreamHandler(protocol)
			_, err := echo.Stream(ctx, func(ctx context.Context, _ ...string) (muxer.Stream, error) {
				return a.Host.OpenStream(ctx, b.ID, protocol)
			}, 100_000)
			return err
		}
		for name, bad := range map[string]host.StreamHandler{
			"less": func(_ context.Context, _ transport.NodeID, s muxer.Stream) { io.CopyN(s, s, 1000) },
			"more": func(_ context.Context, _ transport.NodeID, s muxer.Stream) { io.Copy(s, s); s.Write([]byte("x")) },
			"other": func(_ context.Context, _ transport.NodeID, s muxer.Stream) {
				s.Write(make([]byte, 1000))
				io.Copy(s, s)
			},
		} {
			if err := call(t.Context(), bad); !errors.Is(err, echo.ErrChanged) {
				t.Errorf("%s: %v", name, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := call(ctx, func(ctx context.Context, _ transport.NodeID,
			s muxer.Stream) {
			<-ctx.Done()
		}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("silence: %v", err)
		}
		if _, err := echo.Stream(t.Context(), echo.To(a.Host, "nobody"), 1); !errors.Is(err, host.ErrNotConnected) {
			t.Errorf("nobody: %v", err)
		}
	})
}
