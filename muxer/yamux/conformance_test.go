package yamux

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/lanes"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// wire is a connection of 1 GB/s in virtual time. Where the receiver is slower than the connection, each lane's window
// limits the lane, and priorities matter little; on a real network the connection is the bottleneck.
type wire struct {
	net.Conn
	closed chan struct{}
	once   *sync.Once
}

func newWire(c net.Conn) wire { return wire{c, make(chan struct{}), new(sync.Once)} }

func (w wire) Write(p []byte) (int, error) {
	t := time.NewTimer(time.Duration(len(p)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.closed: // go-yamux waits for its writer under a mutex
	}
	return w.Conn.Write(p)
}

func (w wire) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.Conn.Close()
}

func pair(t testing.TB, ca, cb net.Conn, cfg Config, a, b []muxer.Channel) (*lanes.Session, *lanes.Session) {
	t.Helper()
	m, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var out [2]*lanes.Session
	for i, c := range []net.Conn{ca, cb} {
		streams, err := m.New(c, []muxer.Side{muxer.Dialer, muxer.Listener}[i])
		if err != nil {
			t.Fatal(err)
		}
		out[i] = lanes.New(streams, lanes.Config{})
		if err := out[i].SetChannels([][]muxer.Channel{a, b}[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out[0], out[1]
}

// TestConformance runs the suite of sessions over lanes on yamux.
func TestConformance(t *testing.T) {
	for name, cfg := range map[string]Config{"default": {}, "small frames": {MaxFrame: 2 << 10}} {
		t.Run(name, func(t *testing.T) {
			muxertest.Run(t, muxertest.Traits{CarriesCode: true, AnswersAlways: true, Streams: true},
				func(t testing.TB, a, b []muxer.Channel) (muxer.Session, muxer.Session) {
					ca, cb := muxertest.Pipe(64 << 10)
					if strings.HasSuffix(t.Name(), "/Priority") {
						return pair(t, newWire(ca), newWire(cb), cfg, a, b)
					}
					return pair(t, ca, cb, cfg, a, b)
				})
		})
	}
}
