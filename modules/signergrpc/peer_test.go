package signergrpc

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The two ends of a socket see each other's user; only our own user and root pass.
func TestPeers(t *testing.T) {
	at := filepath.Join(filepath.Dir(filepath.Dir(socket(t).Path)), "s")
	l, err := net.Listen("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := net.Dial("unix", at)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, c := range []net.Conn{a, b} {
		uid, err := peerUID(c.(*net.UnixConn))
		if err != nil || uid != os.Getuid() {
			t.Errorf("the other end is of user %d, we are %d: %v", uid, os.Getuid(), err)
		}
		if err := checkPeer(c); err != nil {
			t.Error(err)
		}
	}
	for _, tt := range []struct {
		uid, own int
		ok       bool
	}{{1000, 1000, true}, {0, 1000, true}, {0, 0, true}, {1000, 0, false}, {1001, 1000, false}, {65534, 1000, false}} {
		if err := checkUser(tt.uid, tt.own); (err == nil) != tt.ok {
			t.Errorf("user %d for %d: %v", tt.uid, tt.own, err)
		}
	}
	if err := checkPeer(&net.TCPConn{}); err == nil {
		t.Error("a TCP connection passes")
	}
}

// A client that has lost its signer tries again within a quarter of a second.
func TestReconnectPause(t *testing.T) {
	if most := longestPause + time.Duration(reconnectJitter*float64(longestPause)); most > 250*time.Millisecond {
		t.Errorf("%v between two tries", most)
	}
}
