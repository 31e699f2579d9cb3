package mconn

import (
	"testing"

	"github.com/switchyard-p2p/switchyard/muxer"
	"github.com/switchyard-p2p/switchyard/muxer/muxertest"
)

func TestConformance(t *testing.T) {
	for name, cfg := range map[string]Config{
		"default":       {},
		"large packets": {MaxPacketPayload: 64 << 10},
		"small packets": {MaxPacketPayload: 100},
	} {
		t.Run(name, func(t *testing.T) {
			muxertest.Run(t, muxertest.Traits{},
				func(t testing.TB, a, b []muxer.Channel) (muxer.Session, muxer.Session) {
					ca, cb := muxertest.Pipe(64 << 10)
					sa, err := New(Plain(ca), muxer.Dialer, a, cfg)
					if err != nil {
						t.Fatal(err)
					}
					sb, err := New(Plain(cb), muxer.Listener, b, cfg)
					if err != nil {
						t.Fatal(err)
					}
					return sa, sb
				})
		})
	}
}
