package admin

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The API serves a socket that only its user can open. A socket that nobody listens on is replaced, another never.
func TestSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close() // as a process that was killed
	n := newFakeNode(t).node()
	serve := func() *Server {
		s, err := New(Config{Address: "unix://" + path}, n, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, ended := serve(), make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Listening():
	case err := <-ended:
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("%v, %v", info, err)
	}
	c, err := NewClient("unix://" + path)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := c.Status(t.Context()); err != nil || st.NodeID != n.About.Self() {
		t.Errorf("%+v, %v", st, err)
	}
	if err := serve().Run(t.Context()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second server: %v", err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Errorf("after a second server has failed: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	var away *UnreachableError
	if err := c.Healthy(t.Context()); !errors.As(err, &away) || away.Address != "unix://"+path {
		t.Errorf("nobody listens: %v", err)
	}
}
