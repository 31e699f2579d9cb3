package golibp2p

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/switchyard-p2p/switchyard/host"
	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/transport"
)

// protocols are the handlers of streams. They are the host's Mux.
type protocols struct {
	a *adapter

	mu     sync.Mutex // guards what follows
	served map[protocol.ID]*served
	order  []protocol.ID
}

var _ protocol.Switch = (*protocols)(nil)

// served is what serves a protocol, and those that it matches. Its handler can change while streams arrive.
type served struct {
	m       *protocols
	handler atomic.Pointer[func(protocol.ID, network.Stream)]
	match   atomic.Pointer[func(protocol.ID) bool]
}

func newProtocols(a *adapter) *protocols { return &protocols{a: a, served: map[protocol.ID]*served{}} }

// set makes a handler serve a protocol, in place of the one before.
func (m *protocols) set(pid protocol.ID, match func(protocol.ID) bool, handler func(protocol.ID, network.Stream)) {
	m.mu.Lock()
	s := m.served[pid]
	fresh := s == nil
	if fresh {
		s = &served{m: m}
	}
	s.handler.Store(&handler)
	if match == nil {
		s.match.Store(nil)
	} else {
		s.match.Store(&match)
	}
	var err error
	if fresh {
		if err = m.a.h.HandleStream(string(pid), s.serve, host.MatchStreams(s.matches)); err == nil {
			m.served[pid] = s
			m.order = append(m.order, pid)
		}
	}
	m.mu.Unlock()
	switch {
	case err != nil:
		m.a.log.Error("a protocol is not served", "protocol", string(pid), "error", err)
	case fresh:
		m.a.events.emit(event.EvtLocalProtocolsUpdated{Added: []protocol.ID{pid}})
	}
}

func (s *served) matches(name string) bool {
	match := s.match.Load()
	return match != nil && (*match)(protocol.ID(name))
}

// serve hands a stream to the handler. go-libp2p's handlers may return while others go on with the stream, so serve
// returns when the stream is closed or reset, or its connection has ended.
func (s *served) serve(ctx context.Context, from transport.NodeID, under muxer.Stream) {
	c := s.m.a.conns.of(from)
	if c == nil {
		_ = under.ResetWith(muxer.ResetCode(network.StreamShutdown))
		return
	}
	st, err := c.add(under, protocol.ID(under.Protocol()), network.DirInbound)
	if err != nil {
		return
	}
	defer st.end()
	(*s.handler.Load())(st.Protocol(), st)
	select {
	case <-st.done:
	case <-ctx.Done():
	}
}

// AddHandler makes handler serve the streams of a protocol.
func (m *protocols) AddHandler(pid protocol.ID, handler protocol.HandlerFunc) {
	m.AddHandlerWithFunc(pid, nil, handler)
}

// AddHandlerWithFunc makes handler serve the streams of the protocols that match accepts.
func (m *protocols) AddHandlerWithFunc(pid protocol.ID, match func(protocol.ID) bool, handler protocol.HandlerFunc) {
	m.set(pid, match, func(name protocol.ID, s network.Stream) {
		if handler(name, s) != nil {
			_ = s.Reset()
		}
	})
}

// RemoveHandler stops the handler of a protocol. Its streams go on.
func (m *protocols) RemoveHandler(pid protocol.ID) {
	m.mu.Lock()
	_, had := m.served[pid]
	if had {
		delete(m.served, pid)
		m.order = slices.DeleteFunc(m.order, func(o protocol.ID) bool { return o == pid })
		m.a.h.RemoveStreamHandler(string(pid))
	}
	m.mu.Unlock()
	if had {
		m.a.events.emit(event.EvtLocalProtocolsUpdated{Removed: []protocol.ID{pid}})
	}
}

// Protocols returns the protocols that have handlers.
func (m *protocols) Protocols() []protocol.ID {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order)
}

// errNegotiated is why the mux negotiates nothing.
var errNegotiated = errors.New("golibp2p: the session negotiates the protocols of streams")

// Negotiate fails: sessions negotiate before streams get here.
func (*protocols) Negotiate(io.ReadWriteCloser) (protocol.ID, protocol.HandlerFunc, error) {
	return "", nil, errNegotiated
}

// Handle fails, as Negotiate does.
func (*protocols) Handle(io.ReadWriteCloser) error { return errNegotiated }
