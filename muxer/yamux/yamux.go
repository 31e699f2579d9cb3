// Package yamux is the muxer of libp2p's TCP connections: byte streams over one secured connection (yamux,
// /yamux/1.0.0). go-yamux does the protocol. What it lacks is added around it, by a net.Conn beneath that sees each
// frame (conn.go) and by wrappers above (session.go, stream.go):
//
//   - reasons: GO_AWAY and resets carry a muxer.Code (reason.go), and what arrived before the end stays readable;
//   - receive windows that grow: go-yamux loses a part of those (window.go);
//   - writers of one stream take turns: two at once overrun the remote's window in go-yamux 4.0.2;
//   - a bound on what received data holds in memory (memory.go);
//   - how much a stream takes without waiting for the remote, so that one goroutine can write many streams.
//
// Facts: github.com/libp2p/go-yamux/v4, spec.md.
package yamux

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync/atomic"
	"time"

	lib "github.com/libp2p/go-yamux/v4"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// Protocol is the name of yamux in libp2p.
const Protocol = "/yamux/1.0.0"

// initialWindow is what each direction of a stream begins with. The protocol fixes it.
const initialWindow = 256 << 10

// Defaults of Config's zero fields.
const (
	DefaultMaxWindow    = 16 << 20
	DefaultMaxStreams   = 1024
	DefaultMaxUnread    = 128 << 20
	DefaultPingInterval = 30 * time.Second
	DefaultTimeout      = 45 * time.Second
	DefaultMaxFrame     = 64<<10 - 64 // with its header one message of Noise

	// acceptBacklog is how many streams of either end the other may not have accepted, as in go-libp2p. Each costs 8
	// bytes of every connection.
	acceptBacklog        = 256
	maxPongs             = 32 // that wait to be written
	smallestMaxFrame     = 1 << 10
	largestMaxWindow     = 1 << 30
	largestMaxStreams    = 1 << 20
	largestMaxUnread     = min(1<<40, math.MaxInt)
	smallestPingInterval = time.Millisecond
)

// Config holds the settings of a connection. The zero value of every field means its default.
type Config struct {
	// MaxWindow is the size to which a stream's receive window may grow, in bytes. It begins with 256 KiB and grows
	// with the delay-bandwidth product; where a round trip takes no more than 200 µs it stays within 512 KiB.
	MaxWindow int
	// MaxStreams is how many streams the remote may have open at once; more are reset.
	MaxStreams int
	// MaxUnread is how many bytes of memory received data that nobody has read may hold, of all connections of this
	// Muxer. One connection may hold a quarter of that. Each may hold 256 KiB in any case, once its link is up, and
	// before that 64 KiB and a frame. A connection that brings more ends with a MemoryError. Yamux has no window for a
	// whole connection: with MaxStreams streams of 256 KiB and more, each remote could make us hold hundreds of MiB.
	MaxUnread int
	// PingInterval is the time between our pings on a connection on which nothing arrives.
	PingInterval time.Duration
	// Timeout ends the connection when a ping is not answered, or the connection takes no byte, for this long.
	// go-yamux's own 10 s have dropped links that were only slow.
	Timeout time.Duration
	// MaxFrame is how many bytes of a stream we send in one frame at most.
	MaxFrame int
	// Logger is told at level debug what go-yamux complains of; nil discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&c.MaxWindow, DefaultMaxWindow)
	set(&c.MaxStreams, DefaultMaxStreams)
	set(&c.MaxUnread, DefaultMaxUnread)
	set(&c.MaxFrame, DefaultMaxFrame)
	if c.PingInterval == 0 {
		c.PingInterval = DefaultPingInterval
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	return c
}

// Validate returns which setting is impossible, if any.
func (c Config) Validate() error {
	c = c.withDefaults()
	for _, f := range []struct {
		name         string
		v, low, high int
	}{
		{"MaxWindow", c.MaxWindow, initialWindow, largestMaxWindow},
		{"MaxStreams", c.MaxStreams, 1, largestMaxStreams},
		{"MaxUnread", c.MaxUnread, dueOfOne, largestMaxUnread},
		{"MaxFrame", c.MaxFrame, smallestMaxFrame, initialWindow},
	} {
		if f.v < f.low || f.v > f.high {
			return fmt.Errorf("yamux: %s is %d, not in %d to %d", f.name, f.v, f.low, f.high)
		}
	}
	if c.PingInterval < smallestPingInterval || c.Timeout < smallestPingInterval {
		return fmt.Errorf("yamux: PingInterval is %v and Timeout %v; both must be at least %v",
			c.PingInterval, c.Timeout, smallestPingInterval)
	}
	return nil
}

// Muxer makes connections. It implements muxer.StreamMuxer.
type Muxer struct {
	cfg    Config
	lib    *lib.Config  // which go-yamux does not change
	share  int          // what one connection may hold
	memory atomic.Int64 // that received data of all connections holds
	grown  atomic.Int64 // by how much the windows of all streams are larger than they began
}

var _ muxer.StreamMuxer = (*Muxer)(nil)

// New checks cfg.
func New(cfg Config) (*Muxer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m := &Muxer{cfg: cfg.withDefaults()}
	m.share = max(m.cfg.MaxUnread/shareOfOne, dueOfOne)
	m.lib = m.libConfig()
	return m, nil
}

// libConfig is go-yamux's configuration.
func (m *Muxer) libConfig() *lib.Config {
	cfg := lib.DefaultConfig()
	cfg.AcceptBacklog = acceptBacklog
	cfg.PingBacklog = maxPongs
	cfg.KeepAliveInterval, cfg.MeasureRTTInterval = m.cfg.PingInterval, m.cfg.PingInterval
	cfg.ConnectionWriteTimeout = m.cfg.Timeout
	cfg.MaxIncomingStreams = math.MaxUint32                   // conn counts them
	cfg.InitialStreamWindowSize = 2 * uint32(m.cfg.MaxWindow) // see window.go
	cfg.MaxStreamWindowSize = cfg.InitialStreamWindowSize
	cfg.MaxMessageSize = uint32(m.cfg.MaxFrame + headerSize)
	cfg.ReadBufSize = 0 // a secured connection has a buffer
	cfg.LogOutput = io.Discard
	if m.cfg.Logger != nil {
		cfg.LogOutput = logWriter{m.cfg.Logger}
	}
	return cfg
}

// Name implements muxer.StreamMuxer.
func (*Muxer) Name() string { return "yamux" }

// Protocol implements muxer.StreamMuxer.
func (*Muxer) Protocol() string { return Protocol }

// New implements muxer.StreamMuxer.
func (m *Muxer) New(nc net.Conn, side muxer.Side) (muxer.Streams, error) {
	c := newConn(nc, m)
	open := lib.Server
	if side == muxer.Dialer {
		open = lib.Client
	}
	s, err := open(c, m.lib, nil)
	if err != nil {
		return nil, fmt.Errorf("yamux: %w", err)
	}
	return newSession(c, s), nil
}

// logWriter passes go-yamux's complaints on.
type logWriter struct{ log *slog.Logger }

func (w logWriter) Write(p []byte) (int, error) {
	w.log.Debug("yamux", slog.String("message", strings.TrimSpace(string(p))))
	return len(p), nil
}
