package mconn

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-p2p/switchyard/muxer"
)

// TestTimeouts sets each time to a value of its own and sees when it passes. (The other options: TestPacketsSuitComet
// for MaxPacketPayload, FuzzReader and TestRejections for MaxPacket, TestHalfMessagesAreBounded for MaxPartial,
// TestRateLimits.)
func TestTimeouts(t *testing.T) {
	const want = 7 * time.Second
	passes := func(name string, cfg Config, f func(t *testing.T, v *victim)) {
		t.Run(name, func(t *testing.T) {
			attack(t, []muxer.Channel{{ID: 5, SendQueue: 1}}, cfg, func(t *testing.T, v *victim) {
				v.answerFirstPing(t)
				start := time.Now()
				f(t, v)
				if d := time.Since(start); d < want || d > want+want/2 {
					t.Errorf("it passed after %v", d)
				}
			})
		})
	}
	fill := func(v *victim) {
		for v.TrySend(5, make([]byte, 50_000)) {
			synctest.Wait()
		}
	}
	passes("PingInterval", Config{PingInterval: want}, func(t *testing.T, v *victim) {
		b := make([]byte, 3)
		if _, err := io.ReadFull(v.remote, b); err != nil || !bytes.Equal(b, pingPacket) {
			t.Errorf("% x, %v", b, err)
		}
	})
	passes("PongTimeout", Config{PongTimeout: want}, func(t *testing.T, v *victim) {
		if _, err := v.Ping(t.Context()); err == nil {
			t.Error("the ping was answered")
		}
		v.endsWith(t, muxer.CodeIdle)
	})
	passes("WriteTimeout", Config{WriteTimeout: want, PingInterval: time.Second, PongTimeout: time.Hour},
		func(t *testing.T, v *victim) {
			fill(v)
			v.endsWith(t, muxer.CodeTimeout)
		})
	passes("StallTimeout", Config{StallTimeout: want, PongTimeout: 3 * time.Second}, func(t *testing.T, v *victim) {
		fill(v)
		for v.isUp() {
			time.Sleep(100 * time.Millisecond)
			v.remote.Write(pongPacket)
			synctest.Wait()
		}
		v.endsWith(t, muxer.CodeTimeout)
	})
	passes("CloseGrace", Config{CloseGrace: want}, func(t *testing.T, v *victim) {
		fill(v)
		v.Close(muxer.CodeShuttingDown, "")
		v.endsWith(t, muxer.CodeShuttingDown)
	})
}
