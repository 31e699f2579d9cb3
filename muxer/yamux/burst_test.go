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

// A remote may begin more streams in a row than go-yamux keeps for Accept: the reader goes on when they are accepted, and none is refused; nor are there too many to wait for
// what we say next.
func TestBurstOfStreams(t *testing.T) {
	for _, patience := range []time.Duration{0, time.Millisecond} {
		t.Run(patience.String(), func(t *testing.T) { burst(t, patience) })
	}
}

func burst(t *testing.T, patience time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		a, b := muxertest.Pipe(1 << 20)
		m, err := New(Config{})
		if err != nil {
			t.Fatal(err)
		}
		streams, err := m.New(a, muxer.Listener)
		if err != nil {
			t.Fatal(err)
		}
		streams.(muxer.Patient).Patience(patience)
		const most = 1000
		taken := 0
		streams.(muxer.Announcer).Announce(func(muxer.RawStream) { taken++ })
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
		time.Sleep(patience) // virtual
		synctest.Wait()
		if taken != most || acks != most || resets != 0 {
			t.Errorf("%d streams were accepted, %d of them acknowledged, and %d reset; want all of %d", taken, acks, resets, most)
		}
		_ = streams.Close()
		_ = b.Close()
		wg.Wait()
	})
}
