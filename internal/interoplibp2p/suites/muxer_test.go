package suites

import (
	"maps"
	"net"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	tmux "github.com/libp2p/go-libp2p/p2p/muxer/testsuite"
	theiryamux "github.com/libp2p/go-libp2p/p2p/muxer/yamux"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/yamux"
)

// halves is ours at one side of each connection, and go-libp2p's at the other.
type halves struct {
	ours *yamux.Muxer
	side muxer.Side // that is ours
}

// NewConn implements network.Multiplexer. Ours bounds its memory by itself, so it reserves nothing of scope.
func (h halves) NewConn(conn net.Conn, isServer bool, scope network.PeerScope) (network.MuxedConn, error) {
	side := muxer.Dialer
	if isServer {
		side = muxer.Listener
	}
	if side != h.side {
		return theiryamux.DefaultTransport.NewConn(conn, isServer, scope)
	}
	streams, err := h.ours.New(conn, side)
	if err != nil {
		return nil, err
	}
	return newMuxed(streams), nil
}

func newYamux(t testing.TB) *yamux.Muxer {
	t.Helper()
	m, err := yamux.New(yamux.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sides are the sides of a connection that may be ours.
var sides = map[string]muxer.Side{"we dial": muxer.Dialer, "we listen": muxer.Listener}

// leftOut are subtests that cannot pass, by the side that is ours.
var leftOut = map[string]bool{
	// It opens a stream, writes nothing, and waits until the remote has reset it. Ours tells the remote of a stream
	// with its first bytes, which saves a packet. TestTransport has a test of resets that writes first.
	"we listen/StreamReset": true,
}

// TestMuxer runs go-libp2p's suite of muxers.
func TestMuxer(t *testing.T) {
	t.Setenv("CI", "true") // where the machine may be busy, the suite waits longer
	for name, side := range sides {
		t.Run(name, func(t *testing.T) {
			for _, subtest := range slices.Sorted(maps.Keys(tmux.Subtests)) {
				if leftOut[name+"/"+short(subtest)] {
					continue
				}
				t.Run(short(subtest), func(t *testing.T) {
					tmux.Subtests[subtest](t, halves{newYamux(t), side})
				})
			}
		})
	}
}

// short returns the name of a subtest without that of its package.
func short(subtest string) string {
	return strings.TrimPrefix(path.Ext(path.Base(subtest)), ".Subtest")
}
