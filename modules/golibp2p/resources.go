package golibp2p

import (
	"net"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// resources is a resource manager that refuses nothing: the limits are those of the Switchyard host, which refuses
// before a connection or a stream gets here.
type resources struct{ network.NullResourceManager }

func newResources(peer.ID) *resources { return &resources{} }

// VerifySourceAddress leaves that to the host.
func (*resources) VerifySourceAddress(net.Addr) bool { return false }

// scope counts the streams of a connection and the memory that programs reserve.
type scope struct {
	network.NullScope
	mu   sync.Mutex
	stat network.ScopeStat
}

func newScope() *scope { return &scope{} }

func (s *scope) ReserveMemory(size int, _ uint8) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stat.Memory += int64(size)
	return nil
}

func (s *scope) ReleaseMemory(size int) { _ = s.ReserveMemory(-size, 0) }

func (s *scope) Stat() network.ScopeStat {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stat
}

// child is the scope of a stream.
func (s *scope) child(dir network.Direction) *streamScope {
	s.count(dir, 1)
	return &streamScope{parent: s, dir: dir}
}

func (s *scope) count(dir network.Direction, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if dir == network.DirInbound {
		s.stat.NumStreamsInbound += n
	} else {
		s.stat.NumStreamsOutbound += n
	}
}

// streamScope is the scope of one stream.
type streamScope struct {
	network.NullScope
	parent *scope
	dir    network.Direction
}

func (s *streamScope) SetService(string) error       { return nil }
func (s *streamScope) SetProtocol(protocol.ID) error { return nil }
func (s *streamScope) Done()                         { s.parent.count(s.dir, -1) }
