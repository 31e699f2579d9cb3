package host_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/comet"
	"github.com/switchyard-p2p/switchyard/handshake/secretconn"
	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/host/peers"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/peerstore"
	"github.com/switchyard-p2p/switchyard/peerstore/memory"
	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
)

// tcpHost runs a host on a free loopback port for the time of the test.
func tcpHost(t *testing.T, listen bool) *host.Host {
	t.Helper()
	key, err := handshake.GenerateNodeKey()
	if err != nil {
		t.Fatal(err)
	}
	wire, err := comet.New(comet.Config{
		Identity: key,
		Secure: func(ctx context.Context, conn net.Conn, id handshake.Identity, early []byte,
			check func(handshake.PublicKey) error) (comet.Secured, error) {
			c, err := secretconn.Handshake(ctx, conn, id, secretconn.Options{CheckKey: check, EarlyData: early})
			if err != nil {
				return comet.Secured{}, err
			}
			return comet.Secured{Reader: c, Binding: c.Binding,
				Mux: func(side muxer.Side, channels []muxer.Channel) (muxer.Session, error) {
					return mconn.New(c, side, channels, mconn.Config{})
				}}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := host.Config{Network: "tcp-test", Identity: key, Store: memory.New(peerstore.Limits{}),
		Transports: []transport.Transport{tcp.New(tcp.Config{})},
		Wires:      []handshake.Wire{wire}, Peers: peers.Config{MaxOutbound: -1},
		Handshake: host.HandshakeConfig{Timeout: 3 * time.Second}}
	if listen {
		cfg.Listen = []ma.Multiaddr{ma.StringCast("/ip4/127.0.0.1/tcp/0")}
	}
	h, err := host.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.OpenChannel(muxer.Channel{ID: 0x70}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := h.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	_ = h.WaitListening(context.Background())
	return h
}

// Over real sockets: five hundred connections that say nothing, from ten IPs, do not delay a real peer. The bound is
// generous, the log says more.
func TestSilentTCPConnectionsDelayNobody(t *testing.T) {
	target := tcpHost(t, true)
	where := target.ListenAddrs()[0]
	addr, err := transport.ParseAddress(where.String() + "/mconn/" + string(target.Self()))
	if err != nil {
		t.Fatal(err)
	}
	const dials, silent = 15, 500
	dialers := make([]*host.Host, 2*dials)
	for i := range dialers {
		dialers[i] = tcpHost(t, false)
	}
	median := func(hosts []*host.Host) time.Duration {
		t.Helper()
		var took []time.Duration
		for _, h := range hosts {
			began := time.Now()
			if _, err := h.Dial(t.Context(), addr); err != nil {
				t.Fatal(err)
			}
			took = append(took, time.Since(began))
		}
		slices.Sort(took)
		return took[len(took)/2]
	}
	without := median(dialers[:dials])

	var open []net.Conn
	defer func() {
		for _, c := range open {
			_ = c.Close()
		}
	}()
	for i := range silent {
		from := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+i%10))}}
		c, err := from.DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", addr.Port()))
		if err != nil {
			t.Fatalf("silent connection %d: %v", i, err)
		}
		open = append(open, c)
	}
	with := median(dialers[dials:])
	t.Logf("a dial takes %v without and %v with %d silent connections (medians of %d)", without, with, silent, dials)
	if with > 10*without+200*time.Millisecond {
		t.Error("that is too much longer")
	}

	for i, c := range open { // each is ended for its silence
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("silent connection %d was not ended", i)
		}
	}
}
