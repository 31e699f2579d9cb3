//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

// place is a network namespace of its own. Its only way out is a TUN device, which this program reads and writes.
type place struct {
	index, region int
	ip            string
	tun           *os.File
	do            chan func()
}

// newPlace makes a place in a /16 of its own, so that limits per network group see it as on the Internet.
func newPlace(i int) *place {
	p := &place{index: i, region: i % regions, do: make(chan func()),
		ip: net.IPv4(byte(40+i%regions), byte(1+i/regions), 0, 1).String()}
	go func() {
		runtime.LockOSThread() // for ever: the thread has its own namespace, and its end would end its children
		check(os.NewSyscallError("unshare (root only)", syscall.Unshare(syscall.CLONE_NEWNET)))
		for f := range p.do {
			f()
		}
	}()
	p.on(p.open)
	return p
}

// on runs f on the thread that lives in the place: sockets and processes that f makes belong there.
func (p *place) on(f func()) {
	done := make(chan struct{})
	p.do <- func() {
		f()
		close(done)
	}
	<-done
}

// open makes the TUN device.
func (p *place) open() {
	fd := must(syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0))
	var req [40]byte // struct ifreq: a name, and the flags IFF_TUN | IFF_NO_PI
	copy(req[:], "wan0")
	binary.NativeEndian.PutUint16(req[16:], 0x1001)
	const tunSetIff = 0x400454ca
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&req))); e != 0 {
		check(os.NewSyscallError("TUNSETIFF", e))
	}
	p.tun = os.NewFile(uintptr(fd), "tun")
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(fmt.Sprintf(`link set lo up
addr add %s/32 dev wan0
link set wan0 txqueuelen 2000 up
route add default dev wan0 src %s
`, p.ip, p.ip))
	must(ip.Output())
}
