//go:build linux

package emunet

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// Place is a network namespace of its own.
type Place struct {
	IP  string
	tun *os.File
	do  chan func()
}

// newPlace makes a place with an address.
func newPlace(ip string) (*Place, error) {
	p := &Place{IP: ip, do: make(chan func())}
	unshared := make(chan error)
	go func() {
		// The thread has its own namespace, and its end ends the children that asked for that; it is never unlocked,
		// so it ends with this function.
		runtime.LockOSThread()
		err := syscall.Unshare(syscall.CLONE_NEWNET)
		unshared <- os.NewSyscallError("unshare (root only)", err)
		if err != nil {
			return
		}
		for f := range p.do {
			f()
		}
	}()
	if err := <-unshared; err != nil {
		return nil, err
	}
	var err error
	p.On(func() { err = p.open() })
	if err != nil {
		close(p.do)
		return nil, err
	}
	return p, nil
}

// On runs f on the thread that lives in the place: sockets and processes that f makes belong there.
func (p *Place) On(f func()) {
	done := make(chan struct{})
	p.do <- func() {
		f()
		close(done)
	}
	<-done
}

// Dial connects over TCP from within the place, and has the signature of http.Transport.DialContext. ctx does not end
// it; it takes two seconds at most.
func (p *Place) Dial(_ context.Context, network, address string) (c net.Conn, err error) {
	p.On(func() { c, err = net.DialTimeout(network, address, 2*time.Second) })
	return c, err
}

// open makes the TUN device.
func (p *Place) open() error {
	fd, err := syscall.Open("/dev/net/tun", syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return os.NewSyscallError("open /dev/net/tun", err)
	}
	var req [40]byte // struct ifreq: a name, and the flags IFF_TUN | IFF_NO_PI
	copy(req[:], "wan0")
	binary.NativeEndian.PutUint16(req[16:], 0x1001)
	const tunSetIff = 0x400454ca
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), tunSetIff, uintptr(unsafe.Pointer(&req))); e != 0 {
		_ = syscall.Close(fd)
		return os.NewSyscallError("TUNSETIFF", e)
	}
	p.tun = os.NewFile(uintptr(fd), "tun")
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader(fmt.Sprintf(`link set lo up
addr add %s/32 dev wan0
link set wan0 txqueuelen 2000 up
route add default dev wan0 src %s
`, p.IP, p.IP))
	if out, err := ip.CombinedOutput(); err != nil {
		_ = p.tun.Close()
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return nil
}

// close ends the place and its processes that were started to end with their parent's thread.
func (p *Place) close() {
	_ = p.tun.Close()
	close(p.do)
}
