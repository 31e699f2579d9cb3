package yamux

import (
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

// A remote may open more streams in a row than go-yamux keeps for Accept: the reader waits, and none is refused.
func TestBurstOfStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		streams := muxed(t, a, muxer.Listener, Config{})
		const most = 1000
		acks, resets := 0, 0
		var wg sync.WaitGroup
		wg.Go(func() {
			head := make([]byte, headerSize)
			for {
				if _, err := io.ReadFull(b, head); err != nil {
					return
				}
				flags := binary.BigEndian.Uint16(head[2:])
				switch {
				case head[1] == typeWindow && flags&flagRST != 0:
					resets++
				case head[1] == typeWindow && flags&flagACK != 0:
					acks++
				}
			}
		})
		_, _ = b.Write(manyStreams(most))
		for range most {
			if _, err := streams.Accept(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(patience) // virtual: nothing else is written
		synctest.Wait()
		if acks != most || resets != 0 {
			t.Errorf("%d streams are acknowledged and %d reset; want all of %d", acks, resets, most)
		}
		_ = streams.CloseWith(muxer.CodeRequested, "", 0)
		_ = b.Close()
		wg.Wait()
	})
}
