//go:build unix

package tcp_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/switchyard-p2p/switchyard/transport"
	"github.com/switchyard-p2p/switchyard/transport/tcp"
	"github.com/switchyard-p2p/switchyard/transport/transporttest"
)

// linked are both ends of a connection, until the test ends.
func linked(t *testing.T) (dialer, listener *tcp.Conn) {
	t.Helper()
	tr := tcp.New(tcp.Config{})
	l, err := tr.Listen(t.Context(), transporttest.Address(t, "/ip4/127.0.0.1/tcp/0"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := tr.Dial(t.Context(), l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	b, _, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return a.(*tcp.Conn), b.(*tcp.Conn)
}

var _ transport.PromptConn = (*tcp.Conn)(nil)

// fill writes numbered pieces without waiting until the connection takes no more, and returns what it has taken.
func fill(t *testing.T, c *tcp.Conn) (taken []byte) {
	t.Helper()
	for i := 0; ; i++ {
		piece := bytes.Repeat([]byte{byte(i)}, 3000)
		if !c.WriteNow(piece) {
			return taken
		}
		if taken = append(taken, piece...); len(taken) > 1<<28 {
			t.Fatal("it takes everything")
		}
	}
}

// A remote that reads nothing makes nobody wait; what was taken arrives, in order, and ahead of what is written behind
// it.
func TestWriteNow(t *testing.T) {
	a, b := linked(t)
	if !a.WriteNow(nil) || !a.WriteNow([]byte("first ")) {
		t.Fatal("an idle connection takes nothing")
	}
	want := append([]byte("first "), fill(t, a)...)
	if a.WriteNow(nil) {
		t.Error("a full connection would take more")
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := a.Write([]byte("last"))
		wrote <- err
	}()
	want = append(want, "last"...)
	got := make([]byte, len(want))
	if _, err := io.ReadFull(b, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes arrive, or others than were sent: %v", len(want), err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	if !a.WriteNow([]byte("again")) {
		t.Error("it takes nothing any more")
	}
	if _, err := io.ReadFull(b, got[:5]); err != nil || string(got[:5]) != "again" {
		t.Errorf("%q, %v", got[:5], err)
	}
}

// What is not yet sent does not hold up Close.
func TestCloseBehindWriteNow(t *testing.T) {
	a, _ := linked(t)
	fill(t, a)
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if _, err := a.Write([]byte("x")); err == nil {
		t.Error("a closed connection takes more")
	}
	if err := a.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// The error of a write for which nobody has waited is that of the next.
func TestErrorOfWriteNow(t *testing.T) {
	a, _ := linked(t)
	if err := a.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if !a.WriteNow([]byte("x")) {
		t.Fatal("it is not taken")
	}
	_ = a.SetWriteDeadline(time.Time{})
	var ne net.Error
	if _, err := a.Write([]byte("x")); !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%v", err)
	}
	if a.WriteNow(nil) {
		t.Error("it would take more")
	}
}
