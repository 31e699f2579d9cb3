package quic

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

const (
	// udpMessage is the size of the longest message that the kernel makes of packets: an IP packet's.
	udpMessage = 64 << 10
	// udpControl is the size of what the kernel says beside a message: at most a class of traffic, a destination
	// (IPv6), and the size of the packets.
	udpControl = 128
)

// udpBuffer is memory for one message. A socket has one only while there is something in it that quic-go has not taken
// yet.
type udpBuffer struct {
	head    unix.Msghdr
	part    unix.Iovec
	name    unix.RawSockaddrInet6
	control [udpControl]byte
	data    [udpMessage]byte
}

var udpBuffers = sync.Pool{New: func() any {
	b := new(udpBuffer)
	b.part.Base = &b.data[0]
	b.part.SetLen(len(b.data))
	b.head.Name = (*byte)(unsafe.Pointer(&b.name))
	b.head.Iov = &b.part
	b.head.SetIovlen(1)
	b.head.Control = &b.control[0]
	return b
}}

// udpConn is a UDP socket, as quic-go uses it, with less work for each packet than net.UDPConn has. The kernel joins
// packets of one size that arrive in a row from one sender (UDP_GRO, Linux 5.0), as it takes several in one piece when
// they are sent; between processes of one machine they are never apart. Addresses cost no memory: packets that follow
// each other share theirs.
//
// ReadBatch is quic-go's, one call at a time; all else is net.UDPConn's.
type udpConn struct {
	*net.UDPConn
	raw  syscall.RawConn
	look func(fd uintptr) bool // receive

	// Of the goroutine that calls ReadBatch:
	buffer *udpBuffer // nil: nothing is left to take
	size   int        // of the message in it
	taken  int        // what was taken of it
	packet int        // the size of its packets; the last may be shorter
	failed syscall.Errno
	source netip.AddrPort // of the last message
	from   *net.UDPAddr   // the same, for quic-go; nobody changes it
}

var _ interface {
	ReadBatch([]ipv4.Message, int) (int, error)
} = (*udpConn)(nil)

// fastUDP is c as quic-go uses it.
func fastUDP(c *net.UDPConn) (net.PacketConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	err = raw.Control(func(fd uintptr) {
		// where the kernel cannot, packets come one by one
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
	})
	u := &udpConn{UDPConn: c, raw: raw}
	u.look = u.receive
	return u, err
}

// ReadBatch waits for packets, and fills ms with those of one message.
func (u *udpConn) ReadBatch(ms []ipv4.Message, _ int) (int, error) {
	if u.buffer == nil {
		u.failed = 0
		if err := u.raw.Read(u.look); err != nil {
			return 0, err
		}
		if u.failed != 0 {
			return 0, &net.OpError{Op: "read", Net: "udp", Source: u.LocalAddr(),
				Err: os.NewSyscallError("recvmsg", u.failed)}
		}
	}
	n := 0
	for n < len(ms) && u.buffer != nil {
		u.take(&ms[n])
		n++
	}
	return n, nil
}

// receive takes a message from the kernel; false: there is none.
func (u *udpConn) receive(fd uintptr) bool {
	b := udpBuffers.Get().(*udpBuffer)
	b.head.Namelen = uint32(unsafe.Sizeof(b.name))
	b.head.SetControllen(len(b.control))
	var n uintptr
	err := unix.EINTR
	for err == unix.EINTR {
		n, _, err = unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&b.head)), unix.MSG_DONTWAIT)
	}
	if err != 0 {
		udpBuffers.Put(b)
		u.failed = err
		return err != unix.EAGAIN
	}
	u.failed = 0
	u.buffer, u.size, u.taken = b, int(n), 0
	u.packet = packetSize(b.control[:b.head.Controllen], u.size)
	u.findSource(&b.name)
	return true
}

// take moves the next packet to m.
func (u *udpConn) take(m *ipv4.Message) {
	b := u.buffer
	end := min(u.taken+u.packet, u.size)
	m.N = copy(m.Buffers[0], b.data[u.taken:end]) // longer packets than quic-go takes do not authenticate
	m.NN = copy(m.OOB, b.control[:b.head.Controllen])
	m.Addr = u.from
	if u.taken = end; end == u.size {
		u.buffer = nil
		udpBuffers.Put(b)
	}
}

// findSource sets from.
func (u *udpConn) findSource(name *unix.RawSockaddrInet6) {
	var ip netip.Addr
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		ip = netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
	} else if ip = netip.AddrFrom16(name.Addr); name.Scope_id != 0 {
		ip = ip.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	if at := netip.AddrPortFrom(ip, port); at != u.source || u.from == nil {
		u.source, u.from = at, net.UDPAddrFromAddrPort(at)
	}
}

// packetSize returns the size of the packets of a message of size bytes, given what the kernel says beside it.
func packetSize(control []byte, size int) int {
	for len(control) >= unix.SizeofCmsghdr {
		h, body, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		if h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(body) >= 4 {
			if n := int(int32(binary.NativeEndian.Uint32(body))); n > 0 {
				return n
			}
		}
		control = rest
	}
	return max(size, 1) // a packet may be empty
}

// WriteMsgUDP is net.UDPConn's, without memory for the address.
func (u *udpConn) WriteMsgUDP(b, control []byte, to *net.UDPAddr) (n, oobn int, err error) {
	at := to.AddrPort()
	return u.WriteMsgUDPAddrPort(b, control, netip.AddrPortFrom(at.Addr().Unmap(), at.Port()))
}
