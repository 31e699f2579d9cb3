package stock

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/handshake"
	"github.com/switchyard-p2p/switchyard/handshake/handshaketest"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/mconn"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
	"github.com/switchyard-p2p/switchyard/transport"
)

// Thousands of connections that say something and fall silent, or hang up, hold little and cost little, wherever in the
// handshake they stop: heap apart from what the test's own connections need.
func TestGarbageIsCheap(t *testing.T) {
	const (
		each     = 250
		mostHeld = 8 << 10  // bytes of heap that one silent connection holds
		mostTLS  = 14 << 10 // likewise in TLS, whose library has buffers of its own
		mostCost = 16 << 10 // bytes that one allocates in all
	)
	log := slog.New(slog.DiscardHandler)
	key := handshake.NewIdentity([32]byte{1})
	cometWire, err := Comet(mconn.Config{}, 0, key, log)
	if err != nil {
		t.Fatal(err)
	}
	noise, _ := Noise(struct{}{})
	tls, _ := TLS(DefaultTLS())
	mux, err := Yamux(yamux.Config{}, 0, log)
	if err != nil {
		t.Fatal(err)
	}
	lib, err := Libp2p(Libp2pConfig{}, 0, key, []handshake.Security{noise, tls}, []muxer.StreamMuxer{mux}, log)
	if err != nil {
		t.Fatal(err)
	}
	info := handshake.NodeInfo{ID: key.ID(), Network: "n", Moniker: "m", BlockVersion: handshake.BlockVersion,
		P2PVersion: handshake.P2PVersion, Channels: []byte{1}, Listen: []string{"/ip4/10.9.9.9/tcp/2"}}
	u, err := handshake.NewUpgrader(handshake.Config{
		Wires:    []handshake.Wire{cometWire, lib},
		Local:    func(transport.Conn) handshake.NodeInfo { return info },
		Channels: func() []muxer.Channel { return []muxer.Channel{{ID: 1}} },
		Timeout:  time.Minute,
		Limits:   handshake.Limits{Handshakes: 1 << 20, HandshakesPerIP: 1 << 20, AttemptsPerIP: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	const header = "\x13/multistream/1.0.0\n"
	ephemeral := "\x22\x0a\x20" + strings.Repeat("k", 32)
	for name, sent := range map[string]string{
		"nothing": "", "http": "GET / HTTP/1.1\r\n\r\n", "comet": ephemeral, "half of comet": ephemeral[:9],
		"comet, a frame": ephemeral + strings.Repeat("f", 1043), "libp2p": header, "noise": header + "\x07/noise\n",
		"noise, its key":        header + "\x07/noise\n\x00\x20" + strings.Repeat("k", 32),
		"noise, a long message": header + "\x07/noise\n\x20\x00k",
		"tls":                   header + "\x0b/tls/1.0.0\n",
		"tls, half of a hello":  header + "\x0b/tls/1.0.0\n\x16\x03\x01\x10\x00" + strings.Repeat("h", 2000),
	} {
		run := func(silent bool) (held, cost int64) {
			var wg sync.WaitGroup
			var before, during, after runtime.MemStats
			remotes := make([]net.Conn, each)
			ours := make([]*handshaketest.Conn, each)
			for i := range ours {
				remote, our := handshaketest.Pipe(fmt.Sprintf("/ip4/10.0.%d.%d/tcp/1", i/250, i%250),
					"/ip4/10.9.9.9/tcp/2")
				_, _ = remote.Write([]byte(sent))
				if !silent {
					_ = remote.CloseWrite()
				}
				remotes[i], ours[i] = remote, our
			}
			runtime.GC()
			runtime.ReadMemStats(&before)
			for _, our := range ours {
				wg.Go(func() {
					ticket, err := u.Admit(our)
					if err != nil {
						t.Error(err)
						return
					}
					if link, err := u.Inbound(context.Background(), our, ticket); err == nil {
						t.Errorf("%s: a link to %s", name, link.ID())
					}
				})
			}
			if silent {
				synctest.Wait()
				runtime.GC()
				runtime.ReadMemStats(&during)
				held = (int64(during.HeapAlloc) - int64(before.HeapAlloc)) / each
			}
			for _, remote := range remotes {
				_ = remote.Close()
			}
			wg.Wait()
			runtime.ReadMemStats(&after)
			return held, int64(after.TotalAlloc-before.TotalAlloc) / each
		}
		var held, cost int64
		synctest.Test(t, func(*testing.T) { held, _ = run(true) })
		synctest.Test(t, func(*testing.T) { _, cost = run(false) })
		t.Logf("%-22s holds %6d bytes, costs %6d", name, held, cost)
		most := int64(mostHeld)
		if strings.HasPrefix(name, "tls") {
			most = mostTLS
		}
		if held > most || cost > mostCost {
			t.Errorf("%s: a connection holds %d bytes and costs %d", name, held, cost)
		}
	}
}
