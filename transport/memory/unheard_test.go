package memory_test

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/transport/memory"
)

// A writer whose reader has gone, and which cannot know that yet, stops when the buffer is full, as with TCP: it does
// not write any amount at once.
func TestWritesToAReaderThatHasGoneFillTheBuffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []memory.Conditions{{Latency: time.Second}, {Down: true}} {
			a, b := memory.Pipe(c)
			b.Close()
			if err := a.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			total := 0
			for {
				n, err := a.Write(make([]byte, 10_000))
				total += n
				if err == nil {
					continue
				}
				want, after := error(syscall.EPIPE), time.Second
				if c.Down {
					want, after = os.ErrDeadlineExceeded, time.Minute
				}
				if !errors.Is(err, want) || time.Since(began) != after {
					t.Errorf("%+v: %v after %v, want %v after %v", c, err, time.Since(began), want, after)
				}
				break
			}
			if total != 256<<10 {
				t.Errorf("%+v: %d bytes were written, want as many as the buffer holds", c, total)
			}
			a.Close()
		}
	})
}
