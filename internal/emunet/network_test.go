//go:build linux

package emunet

import (
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// UDP packets arrive from place to place, and those that the path drops do not.
func TestCarries(t *testing.T) {
	if _, err := os.Stat("/dev/net/tun"); err != nil || os.Getuid() != 0 {
		t.Skip("it needs root and /dev/net/tun")
	}
	if out, err := exec.Command("unshare", "-n", "true").CombinedOutput(); err != nil {
		t.Skipf("this machine lets us make no network namespaces: %v %s", err, out)
	}
	arrives := make(chan bool)
	n, err := New([]string{"10.1.0.1", "10.2.0.1"}, func(int, int) (time.Duration, bool) { return 0, <-arrives })
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	defer close(arrives)
	var sockets [2]net.PacketConn
	for i, p := range n.Places {
		p.On(func() { sockets[i], err = net.ListenPacket("udp", p.IP+":1000") })
		if err != nil {
			t.Fatal(err)
		}
		defer sockets[i].Close()
	}
	send := func(text string) {
		if _, err := sockets[0].WriteTo([]byte(text), &net.UDPAddr{IP: net.IPv4(10, 2, 0, 1), Port: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	receive := func() string {
		buf := make([]byte, 10)
		size, _, err := sockets[1].ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:size])
	}
	send("one")
	arrives <- true
	if got := receive(); got != "one" {
		t.Fatalf("received %q", got)
	}
	send("lost")
	arrives <- false
	send("two")
	arrives <- true
	if got := receive(); got != "two" {
		t.Fatalf("received %q", got)
	}
}
