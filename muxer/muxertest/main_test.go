package muxertest

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPipe(t *testing.T) {
	a, b := Pipe(10)
	go func() {
		a.Write(make([]byte, 1000))
		a.Close()
	}()
	got, err := io.ReadAll(b)
	if len(got) != 1000 || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := b.Write([]byte{1}); err != io.ErrClosedPipe {
		t.Errorf("write to a closed end: %v", err)
	}
	if _, err := a.Read(make([]byte, 1)); err != net.ErrClosed {
		t.Errorf("read from our closed end: %v", err)
	}

	a, b = Pipe(10)
	defer a.Close()
	defer b.Close()
	b.SetDeadline(time.Now().Add(-1))
	if _, err := b.Read(make([]byte, 1)); err != os.ErrDeadlineExceeded {
		t.Errorf("read after its deadline: %v", err)
	}
	if _, err := b.Write(make([]byte, 1)); err != os.ErrDeadlineExceeded {
		t.Errorf("write after its deadline: %v", err)
	}
	b.SetDeadline(time.Time{})
	if _, err := b.Write(make([]byte, 10)); err != nil {
		t.Error(err)
	}
	b.SetWriteDeadline(time.Now().Add(time.Millisecond))
	if _, err := b.Write(make([]byte, 10)); err != os.ErrDeadlineExceeded {
		t.Errorf("write past its deadline: %v", err)
	}
}
