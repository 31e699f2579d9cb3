package tcp_test

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	ma "github.com/multiformats/go-multiaddr"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// TestSilentAddress: an address that does not answer is given up for the next after the stagger, and its dial is ended.
func TestSilentAddress(t *testing.T) {
	listener, err := tcp.New(tcp.Config{}).Listen(t.Context(), transporttest.Address(t, "/ip4/127.0.0.1/tcp/0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	silent := fullBacklog(t, listener.Addr())
	_, port, _ := strings.Cut(listener.Addr().String(), "/tcp/")
	tr := tcp.New(tcp.Config{
		Resolver: transporttest.Names{"half.example": {silent, netip.MustParseAddr("127.0.0.1")}},
		Stagger:  10 * time.Millisecond,
	})
	c, err := tr.Dial(t.Context(), transporttest.Address(t, "/dns/half.example/tcp/"+port))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.(*tcp.Conn).RemoteIP(); got != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("connected to %s", got)
	}
	c.Close()

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	direct := transporttest.Address(t, "/ip4/"+silent.String()+"/tcp/"+port)
	if _, err := tr.Dial(ctx, direct); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Dial of a silent address: %v", err)
	}
}

// fullBacklog makes an IP address on which a dial of addr's port gets no answer: a listener there that accepts nothing,
// and whose queue is full.
func fullBacklog(t *testing.T, addr ma.Multiaddr) netip.Addr {
	t.Helper()
	_, text, _ := strings.Cut(addr.String(), "/tcp/")
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	where := &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 3}}
	open := func(flags int) int {
		fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Close(fd) })
		return fd
	}
	listener := open(0)
	if err := syscall.Bind(listener, where); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(listener, 0); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		syscall.Connect(open(syscall.SOCK_NONBLOCK), where) // in progress, or queued
	}
	return netip.AddrFrom4(where.Addr)
}

// TestNoDescriptor: without a file descriptor Accept fails, and works again when there is one.
func TestNoDescriptor(t *testing.T) {
	tr := tcp.New(tcp.Config{})
	l, err := tr.Listen(t.Context(), transporttest.Address(t, "/ip4/127.0.0.1/tcp/0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := tr.Dial(t.Context(), l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	free, err := syscall.Dup(0) // the lowest that is free
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(free)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := syscall.Rlimit{Cur: uint64(free), Max: limit.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	_, _, err = l.Accept(t.Context())
	if restored := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); restored != nil {
		t.Fatal(restored)
	}
	if !errors.Is(err, syscall.EMFILE) || errors.Is(err, transport.ErrListenerClosed) ||
		!strings.Contains(err.Error(), "too many open files") {
		t.Errorf("Accept without a descriptor: %v", err)
	}
	accepted, _, err := l.Accept(t.Context())
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	accepted.Close()
}
