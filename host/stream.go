package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// ErrNoStreams reports that the wire of a link carries messages only (comet).
var ErrNoStreams = muxer.ErrNoStreams

// StreamHandler serves one stream that a peer has opened. It has a goroutine of its own. ctx ends with the link, and
// the stream is reset then; a handler that does not return within 5 s is left behind, with a warning. The stream is
// closed when the handler returns: what was written still arrives. A handler that panics takes only its stream down,
// with the stack logged.
type StreamHandler func(ctx context.Context, from transport.NodeID, s muxer.Stream)

const (
	// maxToldProtocols bounds how many of our protocols go into our node info, the first ones that have a handler. It
	// is what our own nodes keep of a remote. Identify tells those that fit into its 4 KiB, the hello those that fit
	// into 10 KiB.
	maxToldProtocols = 256
	maxProtocolName  = 128 // bytes
)

// A StreamOption changes how a handler is found.
type StreamOption func(*streamService)

// MatchStreams makes the handler also serve every protocol that match accepts and no handler has by its name. Handlers
// are asked in the order in which they were given to HandleStream. match is called with names that peers choose,
// concurrently, and must not block.
func MatchStreams(match func(protocol string) bool) StreamOption {
	return func(s *streamService) { s.match = match }
}

// streamService serves the streams of one protocol, and of those that it matches.
type streamService struct {
	protocol string
	match    func(protocol string) bool // nil: none
	handle   StreamHandler

	served, refused atomic.Uint64 // streams
	open            atomic.Int64
}

// streamTable holds the protocols of a host.
type streamTable struct {
	mu       sync.RWMutex // guards what follows
	services map[string]*streamService
	order    []*streamService // in the order of HandleStream; replaced, not changed
	matching int              // how many have a match
	changed  time.Time        // the last change, here or of our addresses, since the host runs

	limits atomic.Pointer[Limits] // of the streams of a link; Reconfigure replaces them
}

// changedSince reports whether what we say of ourselves has changed since then, or at that very moment.
func (t *streamTable) changedSince(then time.Time) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return !t.changed.Before(then)
}

// find returns what serves a protocol; nil for nothing.
func (t *streamTable) find(protocol string) *streamService {
	t.mu.RLock()
	s, order := t.services[protocol], t.order
	if t.matching == 0 {
		order = nil
	}
	t.mu.RUnlock()
	if s != nil {
		return s
	}
	for _, s := range order {
		if s.match != nil && s.match(protocol) {
			return s
		}
	}
	return nil
}

// named reports whether a handler has that name.
func (t *streamTable) named(protocol string) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.services[protocol] != nil
}

// protocols returns the names that peers are told, in the order of HandleStream.
func (t *streamTable) protocols() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	names := make([]string, 0, min(len(t.order), maxToldProtocols))
	for _, s := range t.order[:cap(names)] {
		names = append(names, s.protocol)
	}
	return names
}

func (t *streamTable) all() []*streamService {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.order
}

// set replaces the handlers. mu is held.
func (t *streamTable) set(order []*streamService) {
	t.order, t.matching = order, 0
	for _, s := range order {
		if s.match != nil {
			t.matching++
		}
	}
}

// HandleStream makes handler serve the streams of a protocol that peers open, such as "/echo/1.0.0", and with
// MatchStreams those of further ones; the stream says which. It may be called before Run or while the host runs; in the
// second case connected peers are told, if their wire can. They are told the names of the first handlers, as many as
// fit into what a node says of itself; all others are served all the same. A link may have Limits.ProtocolStreams
// streams of one handler open at once, and Limits.PeerStreams of all; further ones are reset. HandleStream fails for a
// name that another handler or a channel has, and for one that identify cannot carry.
func (h *Host) HandleStream(protocol string, handler StreamHandler, opts ...StreamOption) error {
	switch {
	case handler == nil:
		return fmt.Errorf("protocol %q: no handler", protocol)
	case protocol == "" || len(protocol) > maxProtocolName:
		return fmt.Errorf("protocol %.40q: a name has 1 to %d bytes", protocol, maxProtocolName)
	}
	for _, c := range []byte(protocol) {
		if c <= ' ' || c > '~' {
			return fmt.Errorf("protocol %q: a name is printable ASCII without spaces", protocol)
		}
	}
	if c := h.channelNamed(protocol); c != nil {
		return fmt.Errorf("protocol %s: that is the name of channel 0x%02x", protocol, c.desc.ID)
	}
	s := &streamService{protocol: protocol, handle: handler}
	for _, o := range opts {
		o(s)
	}
	t := &h.streams
	t.mu.Lock()
	switch {
	case t.services[protocol] != nil:
		t.mu.Unlock()
		return fmt.Errorf("protocol %s has a handler already", protocol)
	case t.services == nil:
		t.services = map[string]*streamService{}
	}
	t.services[protocol] = s
	t.set(append(t.order[:len(t.order):len(t.order)], s))
	t.mu.Unlock()
	h.protocolsChanged()
	return nil
}

// RemoveStreamHandler stops the handler of that name, which gets no new streams; open ones go on. It reports whether
// there was one.
func (h *Host) RemoveStreamHandler(protocol string) bool {
	t := &h.streams
	t.mu.Lock()
	s := t.services[protocol]
	if s != nil {
		delete(t.services, protocol)
		t.set(slices.DeleteFunc(slices.Clone(t.order), func(o *streamService) bool { return o == s }))
	}
	t.mu.Unlock()
	if s != nil {
		h.protocolsChanged()
	}
	return s != nil
}

// channelNamed returns the channel whose streams have that name; nil for none.
func (h *Host) channelNamed(name string) *Channel {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.channels {
		if c.desc.Name == name {
			return c
		}
	}
	return nil
}

// OpenStream opens a stream to a connected peer and offers it protocols in order. It returns before the peer has
// chosen, as muxer.Session.OpenStream does. If the peer says that it speaks some of several protocols, the first of
// these is the only offer, so that the first Write waits for nothing. The protocol "" leaves it to the caller to
// negotiate one with multistream-select over the stream. The caller closes or resets the stream; it ends with the link.
// Errors: ErrNotConnected, ErrNoStreams, ctx's, or why the link ended.
func (h *Host) OpenStream(ctx context.Context, to transport.NodeID, protocols ...string) (muxer.Stream, error) {
	l := h.links.of(to)
	if l == nil {
		return nil, ErrNotConnected
	}
	if len(protocols) > 1 {
		said := l.remote.Load().Protocols
		if i := slices.IndexFunc(protocols, func(p string) bool { return slices.Contains(said, p) }); i >= 0 {
			protocols = protocols[i : i+1]
		}
	}
	s, err := l.session.OpenStream(ctx, protocols...)
	if errors.Is(err, muxer.ErrNoStreams) {
		return nil, fmt.Errorf("%w: it is linked over %s", err, l.shake.Wire)
	}
	return s, err
}

// linkStreams counts the streams that the remote of a link has open with applications.
type linkStreams struct {
	mu    sync.Mutex
	total int
	begun uint64                 // since the link began
	open  map[*streamService]int // made at the first stream
}

// take counts a stream in, or returns the limit that refuses it.
func (c *linkStreams) take(s *streamService, limits *Limits) (limit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.total >= limits.PeerStreams:
		return "limits.peer_streams"
	case c.open[s] >= limits.ProtocolStreams:
		return "limits.protocol_streams"
	case c.open == nil:
		c.open = map[*streamService]int{}
	}
	c.total++
	c.begun++
	c.open[s]++
	return ""
}

// count returns how many streams are open, and how many were.
func (c *linkStreams) count() (open int, begun uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total, c.begun
}

func (c *linkStreams) give(s *streamService) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total--
	if c.open[s]--; c.open[s] == 0 {
		delete(c.open, s)
	}
}

// Serves implements muxer.Handler. A match function that panics accepts nothing.
func (l *link) Serves(protocol string) (serves bool) {
	defer func() {
		if p := recover(); p != nil {
			l.host.log.Error("the match function of a stream handler panicked", slog.String("protocol", protocol),
				slog.String("peer", string(l.peer)), slog.Any("panic", p),
				slog.String("stack", string(debug.Stack())))
		}
	}()
	return l.host.streams.find(protocol) != nil
}

// ServeStream implements muxer.Handler.
func (l *link) ServeStream(ctx context.Context, s muxer.Stream) {
	h := l.host
	service := h.streams.find(s.Protocol())
	if service == nil { // removed since Serves
		_ = s.Reset(muxer.CodeIncompatible)
		return
	}
	if limit := l.streams.take(service, h.streams.limits.Load()); limit != "" {
		service.refused.Add(1)
		h.log.Debug("a stream too many", slog.String("peer", string(l.peer)), slog.String("protocol", s.Protocol()),
			slog.String("limit", limit))
		_ = s.Reset(muxer.CodeTooManyStarts)
		return
	}
	service.served.Add(1)
	service.open.Add(1)
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("the handler of a stream panicked", slog.String("protocol", s.Protocol()),
				slog.String("peer", string(l.peer)), slog.Any("panic", p),
				slog.String("stack", string(debug.Stack())))
			_ = s.Reset(muxer.CodeUnknown)
		}
		service.open.Add(-1)
		l.streams.give(service)
	}()
	if p := l.peering.Load(); p == nil || !p.known.Load() {
		if p, _ := l.await(ctx); p == nil {
			_ = s.Reset(muxer.CodeUnknown)
			return
		}
	}
	service.handle(ctx, l.peer, s)
	_ = s.Close()
}
