package yamux

import (
	"encoding/binary"
	"io"
	"sync"
	"testing"
	"testing/synctest"

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
				if head[1] == typeData {
					_, _ = io.CopyN(io.Discard, b, int64(binary.BigEndian.Uint32(head[8:])))
				}
				switch {
				case head[1] == typeWindow && flags&flagRST != 0:
					resets++
				case head[1] == typeWindow && flags&flagACK != 0:
					acks++
				}
			}
		})
		_, _ = b.Write(manyStreams(most))
		var last muxer.RawStream
		for range most {
			st, err := streams.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			last = st
		}
		synctest.Wait()
		_, _ = last.Write([]byte("x")) // takes the acknowledgements along
		synctest.Wait()
		if acks != most || resets != 0 {
			t.Errorf("%d streams are acknowledged and %d reset; want all of %d", acks, resets, most)
		}
		_ = streams.CloseWith(muxer.CodeRequested, "", 0)
		_ = b.Close()
		wg.Wait()
	})
}
