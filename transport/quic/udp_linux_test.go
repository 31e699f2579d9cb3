package quic

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// receiver returns a socket as quic-go has it, and one that sends to it.
func receiver(t *testing.T, ip string) (*udpConn, *net.UDPConn) {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	fast, err := fastUDP(c)
	if err != nil {
		t.Fatal(err)
	}
	from, err := net.DialUDP("udp", nil, c.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { from.Close() })
	_ = c.SetReadDeadline(time.Now().Add(patience))
	return fast.(*udpConn), from
}

// packets reads n packets as quic-go does.
func packets(t *testing.T, u *udpConn, n int) []ipv4.Message {
	t.Helper()
	var all []ipv4.Message
	for len(all) < n {
		ms := make([]ipv4.Message, 8)
		for i := range ms {
			ms[i].Buffers, ms[i].OOB = [][]byte{make([]byte, 1452)}, make([]byte, 128)
		}
		k, err := u.ReadBatch(ms, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ms[:k]...)
	}
	return all
}

// TestJoinedPackets sends in one piece, and one by one, and finds the same packets.
func TestJoinedPackets(t *testing.T) {
	for _, ip := range []string{"127.0.0.1", "::1"} {
		for _, count := range []int{1, 2, 7, 8, 9, 40} {
			t.Run(fmt.Sprint(ip, " ", count), func(t *testing.T) {
				u, from := receiver(t, ip)
				const size = 1000
				var sent [][]byte
				for i := range count {
					sent = append(sent, bytes.Repeat([]byte{byte(i + 1)}, size))
				}
				sent[count-1] = sent[count-1][:300]
				whole := bytes.Join(sent, nil)
				control := make([]byte, unix.CmsgSpace(2))
				control[0], control[8], control[12] = unix.SizeofCmsghdr+2, unix.IPPROTO_UDP, unix.UDP_SEGMENT
				control[16], control[17] = size&0xff, size>>8
				if unix.SizeofCmsghdr == 16 && count > 1 && littleEndian() {
					if _, _, err := from.WriteMsgUDP(whole, control, nil); err != nil {
						t.Fatal(err)
					}
					sent = append(sent, sent...)
				}
				for _, p := range sent[:count] {
					if _, err := from.Write(p); err != nil {
						t.Fatal(err)
					}
				}
				got := packets(t, u, len(sent))
				if len(got) != len(sent) || u.buffer != nil {
					t.Fatalf("%d packets arrived of %d", len(got), len(sent))
				}
				for i, m := range got {
					if !bytes.Equal(m.Buffers[0][:m.N], sent[i]) {
						t.Fatalf("packet %d has %d bytes and is not the one that was sent, of %d", i, m.N, len(sent[i]))
					}
					if m.Addr.String() != from.LocalAddr().String() || m.Addr != got[0].Addr {
						t.Fatalf("packet %d is from %s, not %s", i, m.Addr, from.LocalAddr())
					}
				}
			})
		}
	}
}

func littleEndian() bool { return bytes.Equal(unix.UnixRights(1)[:1], []byte{unix.SizeofCmsghdr + 4}) }

// TestSocketReads looks at what is not a packet of QUIC, and at errors.
func TestSocketReads(t *testing.T) {
	u, from := receiver(t, "127.0.0.1")
	for _, size := range []int{0, 1, 9000} {
		if _, err := from.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		if m := packets(t, u, 1)[0]; m.N != min(size, 1452) {
			t.Errorf("%d bytes of a packet of %d", m.N, size)
		}
	}
	other, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if _, _, err := other.WriteMsgUDP([]byte{1}, nil, u.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	m := packets(t, u, 1)[0]
	if m.Addr.String() != other.LocalAddr().String() {
		t.Errorf("a packet is from %s, not %s", m.Addr, other.LocalAddr())
	}
	if _, _, err := u.WriteMsgUDP([]byte{2}, nil, m.Addr.(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	var b [10]byte
	if n, back, err := other.ReadFromUDP(b[:]); n != 1 || err != nil || back.String() != u.LocalAddr().String() {
		t.Errorf("the answer: %d bytes from %s, %v", n, back, err)
	}
	_ = u.SetReadDeadline(time.Now())
	if _, err := u.ReadBatch(make([]ipv4.Message, 1), 0); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	u.Close()
	if _, err := u.ReadBatch(make([]ipv4.Message, 1), 0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// FuzzPacketSize reads what the kernel might say beside a message.
func FuzzPacketSize(f *testing.F) {
	f.Add([]byte{}, 100)
	f.Add([]byte{20, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 104, 0, 0, 0, 0xe8, 3, 0, 0, 0, 0, 0, 0}, 3000)
	f.Add([]byte{17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 17,
		0, 0, 0, 104, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}, 0)
	f.Fuzz(func(t *testing.T, control []byte, size int) {
		if n := packetSize(control, size); n <= 0 {
			t.Errorf("packets of %d bytes", n)
		}
	})
}
